//! All actions of the console.

use super::action::{Action, Input, InputKind, Subject};
use super::rights::Rights;

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
    Input {
        name: "headers",
        label: "Headers, as JSON",
        hint: r#"A JSON object, such as {"region": "eu"}; {} for none."#,
        kind: InputKind::Contents,
    },
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
const ACTIONS: [Action; 14] = [
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
        verb: "Forget the contents of",
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
        verb: "Forget the contents of",
        command: "dead-letters forget",
        subject: Subject::DeadLetters,
        consent: Some("yes"),
        ..DESTROY
    },
];

/// The name that stops an operation, in place of an action's.
pub(super) const STOP: &str = "stop";

/// All actions.
pub(super) const fn all() -> &'static [Action] {
    &ACTIONS
}

/// The action with this name in addresses.
pub(super) fn find(name: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.name == name)
}

/// The names of all actions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().map(|action| action.name)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;
    use crate::console::action::{EVENT_FILTERS, LETTER_FILTERS};
    use crate::console::command_line::CommandLine;
    use crate::console::form::Form;

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
                    InputKind::Contents => {
                        has(&format!("{}-file", input.name));
                        has("if-unchanged");
                    }
                    _ => has(input.name),
                }
            }
        }
    }

    #[test]
    fn a_confirmed_change_carries_what_was_counted() {
        let form = Form::parse("type=a%20b&kind=&stuck=true&expect=3&up_to_id=9&reason=it+works");
        let retry = find("retry").expect("an action");
        let (line, contents) = retry.confirmed(&form);
        assert_eq!(line.typed(), "outbox-relay retry --type 'a b' --stuck --expect 3 --up-to-id 9");
        assert_eq!(contents, None);
        let named = Form::parse("event_id=x&event_id=y&expect=2&type=z");
        assert_eq!(retry.confirmed(&named).0.typed(), "outbox-relay retry x y");
    }

    #[test]
    fn contents_that_were_not_changed_are_not_edited() {
        let edit = find("edit").expect("an action");
        let same = Form::parse("event_id=x&payload=%7B%7D&original_payload=%7B%7D&retry=true");
        assert_eq!(
            edit.confirmed(&same),
            (CommandLine::new("edit").operand("x").flag("retry", true), None)
        );
        let changed = Form::parse("event_id=x&payload=1&original_payload=%7B%7D&if_unchanged=a0");
        let (line, contents) = edit.confirmed(&changed);
        assert_eq!(line.typed(), "outbox-relay edit --if-unchanged a0 --payload-file - x");
        assert_eq!(contents, Some("1".to_owned()));
    }
}
