//! What can be done in the console: one command each.

use super::command_line::CommandLine;
use super::form::Form;
use super::rights::Rights;

/// What a command changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Events, by `event_id` or by a filter.
    Events,
    /// Dead letters, by `id` or by a filter.
    DeadLetters,
    /// Pauses, by `pause_id`, or what is to be paused.
    Pauses,
}

/// A field that a person fills in before an action.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    /// The name of the field, and of the option.
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) kind: InputKind,
}

/// How a field is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputKind {
    /// One line.
    Line,
    /// One line that must not be blank.
    RequiredLine,
    /// Lines of text that the command reads from standard input; its option is `NAME-file`.
    Contents,
    /// Yes or no.
    Flag,
}

/// An action.
#[derive(Debug, Clone, Copy)]
pub(super) struct Action {
    /// Its name in addresses.
    pub(super) name: &'static str,
    pub(super) verb: &'static str,
    pub(super) command: &'static str,
    pub(super) subject: Subject,
    pub(super) rights: Rights,
    /// Whether what it changes is hard to get back.
    pub(super) is_destroying: bool,
    /// Whether the command selects by filters, and counts what matches with `--dry-run`.
    pub(super) has_filter: bool,
    /// What it needs to be told that the person has agreed, if it would ask otherwise.
    pub(super) consent: Option<&'static str>,
    pub(super) needs_reason: bool,
    pub(super) inputs: &'static [Input],
}

const fn line(name: &'static str, label: &'static str, hint: &'static str) -> Input {
    Input { name, label, hint, kind: InputKind::Line }
}

const RETURN_INPUTS: [Input; 2] = [
    line("to", "To this queue", "Instead of the one that each came from"),
    line("rate", "Not faster than", "50/s, 600/m or 10/h"),
];

const PAUSE_INPUTS: [Input; 1] =
    [line("for", "For how long", "30m, say; without it, until somebody resumes it")];

const EDIT_INPUTS: [Input; 3] = [
    Input { name: "payload", label: "Payload", hint: "", kind: InputKind::Contents },
    line("type", "New type", "Only if the type changes"),
    Input {
        name: "retry",
        label: "Retry it as well",
        hint: "Makes it due if it is stuck or waits",
        kind: InputKind::Flag,
    },
];

const EDIT_HEADERS_INPUTS: [Input; 2] = [
    Input { name: "headers", label: "Headers, as JSON", hint: "", kind: InputKind::Contents },
    EDIT_INPUTS[2],
];

const EDIT_LETTER_INPUTS: [Input; 1] =
    [Input { name: "body", label: "Body", hint: "", kind: InputKind::Contents }];

const NOTE_INPUTS: [Input; 1] = [Input {
    name: "text",
    label: "Note",
    hint: "In place of the one before",
    kind: InputKind::RequiredLine,
}];

/// An action on what a filter may select, that mends.
const MEND: Action = Action {
    name: "retry",
    verb: "Retry",
    command: "retry",
    subject: Subject::Events,
    rights: Rights::Operator,
    is_destroying: false,
    has_filter: true,
    consent: None,
    needs_reason: false,
    inputs: &[],
};

/// An action on what a filter may select, that destroys.
const DESTROY: Action = Action {
    name: "discard",
    verb: "Discard",
    command: "discard",
    rights: Rights::Admin,
    is_destroying: true,
    needs_reason: true,
    ..MEND
};

/// All actions.
pub(super) const ACTIONS: [Action; 14] = [
    MEND,
    DESTROY,
    Action { name: "replay", verb: "Replay", command: "replay", ..MEND },
    Action {
        name: "edit",
        verb: "Edit",
        command: "edit",
        has_filter: false,
        needs_reason: true,
        inputs: &EDIT_INPUTS,
        ..MEND
    },
    Action {
        name: "edit-headers",
        verb: "Edit the headers of",
        command: "edit",
        has_filter: false,
        needs_reason: true,
        inputs: &EDIT_HEADERS_INPUTS,
        ..MEND
    },
    Action {
        name: "restore",
        verb: "Restore",
        command: "restore",
        has_filter: false,
        is_destroying: false,
        ..DESTROY
    },
    Action {
        name: "forget",
        verb: "Forget",
        command: "forget",
        has_filter: false,
        consent: Some("yes"),
        ..DESTROY
    },
    Action {
        name: "pause",
        verb: "Pause",
        command: "pause",
        subject: Subject::Pauses,
        has_filter: false,
        needs_reason: true,
        inputs: &PAUSE_INPUTS,
        ..MEND
    },
    Action {
        name: "resume",
        verb: "Resume",
        command: "resume",
        subject: Subject::Pauses,
        has_filter: false,
        ..MEND
    },
    Action {
        name: "return",
        verb: "Return",
        command: "dead-letters return",
        subject: Subject::DeadLetters,
        inputs: &RETURN_INPUTS,
        ..MEND
    },
    Action {
        name: "note",
        verb: "Note",
        command: "dead-letters note",
        subject: Subject::DeadLetters,
        inputs: &NOTE_INPUTS,
        ..MEND
    },
    Action {
        name: "edit-letter",
        verb: "Edit",
        command: "dead-letters edit",
        subject: Subject::DeadLetters,
        has_filter: false,
        needs_reason: true,
        inputs: &EDIT_LETTER_INPUTS,
        ..MEND
    },
    Action {
        name: "discard-letters",
        command: "dead-letters discard",
        subject: Subject::DeadLetters,
        ..DESTROY
    },
    Action {
        name: "forget-letters",
        verb: "Forget",
        command: "dead-letters forget",
        subject: Subject::DeadLetters,
        consent: Some("yes"),
        ..DESTROY
    },
];

/// The filters of commands on events: the names of fields and of options.
const EVENT_FILTERS: [&str; 8] =
    ["aggregate", "aggregate-type", "type", "fingerprint", "kind", "error", "since", "until"];

/// The filters of commands on dead letters.
const LETTER_FILTERS: [&str; 8] =
    ["queue", "fingerprint", "kind", "type", "error", "message-id", "since", "until"];

/// What a pause names.
const PAUSE_NAMES: [&str; 3] = ["type", "aggregate-type", "aggregate"];

impl Action {
    /// The action with this name in addresses.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        ACTIONS.iter().find(|action| action.name == name)
    }

    /// What one of its subject is called.
    pub(super) const fn noun(&self) -> &'static str {
        match self.subject {
            Subject::Events => "event",
            Subject::DeadLetters => "dead letter",
            Subject::Pauses => "pause",
        }
    }

    /// The field in which its subject is named one by one.
    pub(super) const fn id_field(&self) -> &'static str {
        match self.subject {
            Subject::Events => "event_id",
            Subject::DeadLetters => "id",
            Subject::Pauses => "pause_id",
        }
    }

    /// The fields that select what it changes.
    pub(super) fn selecting_fields(&self) -> Vec<String> {
        let filters: &[&str] = match self.subject {
            Subject::Events => &EVENT_FILTERS,
            Subject::DeadLetters => &LETTER_FILTERS,
            Subject::Pauses => &PAUSE_NAMES,
        };
        let filters = filters.iter().map(|filter| filter.replace('-', "_"));
        filters.chain([self.id_field(), "stuck", "all"].map(ToOwned::to_owned)).collect()
    }

    /// Whether the subject is named one by one.
    pub(super) fn is_named(&self, form: &Form) -> bool {
        form.get(self.id_field()).is_some()
    }

    /// The command, with what `form` selects.
    pub(super) fn selecting(&self, form: &Form) -> CommandLine {
        let mut line = CommandLine::new(self.command);
        if self.is_named(form) {
            for id in form.all(self.id_field()) {
                line = line.operand(id.trim());
            }
            return line;
        }
        let filters: &[&str] = match self.subject {
            Subject::Events if self.has_filter => &EVENT_FILTERS,
            Subject::DeadLetters if self.has_filter => &LETTER_FILTERS,
            Subject::Pauses => &PAUSE_NAMES,
            Subject::Events | Subject::DeadLetters => &[],
        };
        for name in filters {
            line = line.option(name, form.get(&name.replace('-', "_")));
        }
        let knows_stuck = matches!(self.name, "retry" | "discard");
        line.flag("stuck", knows_stuck && form.is_set("stuck"))
            .flag("all", self.subject == Subject::Pauses && form.is_set("all"))
    }

    /// The command that does it, as the confirmed `form` says, and what it reads from standard
    /// input.
    pub(super) fn confirmed(&self, form: &Form) -> (CommandLine, Option<String>) {
        let mut line = self.selecting(form);
        if self.has_filter && !self.is_named(form) {
            line =
                line.option("expect", form.get("expect")).option("up-to-id", form.get("up_to_id"));
        }
        if let Some(consent) = self.consent {
            line = line.flag(consent, form.get("expect").is_none() || self.is_named(form));
        }
        let mut contents = None;
        for input in self.inputs {
            match input.kind {
                InputKind::Line | InputKind::RequiredLine => {
                    line = line.option(input.name, form.get(input.name));
                }
                InputKind::Flag => line = line.flag(input.name, form.is_set(input.name)),
                InputKind::Contents => {
                    // What is not changed is not edited.
                    let given = form.raw(input.name);
                    let is_changed = given != form.raw(&format!("original_{}", input.name));
                    if let Some(given) = given.filter(|_| is_changed) {
                        line = line.option(&format!("{}-file", input.name), Some("-"));
                        contents = Some(given.to_owned());
                    }
                }
            }
        }
        (line.option("reason", form.get("reason")), contents)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_and_option_exists() {
        for action in ACTIONS {
            let program = Cli::command();
            let command = action.command.split(' ').fold(&program, |command, name| {
                command.find_subcommand(name).unwrap_or_else(|| panic!("{name}"))
            });
            let options: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
            let has = |name: &str| assert!(options.contains(&name), "{} {name}", action.command);
            has("json");
            has("reason");
            action.consent.iter().for_each(|consent| has(consent));
            if action.has_filter {
                ["dry-run", "expect", "up-to-id"].iter().for_each(|name| has(name));
                let filters = match action.subject {
                    Subject::Events => EVENT_FILTERS,
                    _ => LETTER_FILTERS,
                };
                filters.iter().for_each(|name| has(name));
            }
            for input in action.inputs {
                match input.kind {
                    InputKind::Contents => has(&format!("{}-file", input.name)),
                    _ => has(input.name),
                }
            }
        }
    }

    #[test]
    fn a_confirmed_change_carries_what_was_counted() {
        let form = Form::parse("type=a%20b&kind=&stuck=true&expect=3&up_to_id=9&reason=it+works");
        let retry = Action::find("retry").expect("an action");
        let (line, contents) = retry.confirmed(&form);
        assert_eq!(
            line.typed(),
            "outbox-relay retry --type 'a b' --stuck --expect 3 --up-to-id 9 --reason 'it works'"
        );
        assert_eq!(contents, None);
        let named = Form::parse("event_id=x&event_id=y&expect=2&type=z");
        assert_eq!(retry.confirmed(&named).0.typed(), "outbox-relay retry x y");
    }

    #[test]
    fn contents_that_were_not_changed_are_not_edited() {
        let edit = Action::find("edit").expect("an action");
        let same = Form::parse("event_id=x&payload=%7B%7D&original_payload=%7B%7D&retry=true");
        assert_eq!(
            edit.confirmed(&same),
            (CommandLine::new("edit").operand("x").flag("retry", true), None)
        );
        let changed = Form::parse("event_id=x&payload=1&original_payload=%7B%7D");
        assert_eq!(edit.confirmed(&changed).1, Some("1".to_owned()));
    }
}
