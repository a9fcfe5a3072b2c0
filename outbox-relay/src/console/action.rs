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

/// The filters of commands on events: the names of fields and of options.
pub(super) const EVENT_FILTERS: [&str; 8] =
    ["aggregate", "aggregate-type", "type", "fingerprint", "kind", "error", "since", "until"];

/// The filters of commands on dead letters.
pub(super) const LETTER_FILTERS: [&str; 8] =
    ["queue", "fingerprint", "kind", "type", "error", "message-id", "since", "until"];

/// What a pause names.
const PAUSE_NAMES: [&str; 3] = ["type", "aggregate-type", "aggregate"];

/// How many events, dead letters or pauses are named one by one at the most.
pub(super) const NAMED: usize = 1000;

/// How many characters a field other than contents may have: it is an argument of a command, and is
/// remembered.
pub(super) const LONGEST_LINE: usize = 1000;

impl Action {
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

    /// The fields that name what is to be paused.
    pub(super) fn inputs_of_names(&self) -> impl Iterator<Item = String> {
        let names = PAUSE_NAMES.iter().filter(|_| self.name == "pause");
        names.map(|name| name.replace('-', "_"))
    }

    /// The options that select what it changes, beside `stuck` and `all`.
    pub(super) const fn filters(&self) -> &'static [&'static str] {
        match self.subject {
            Subject::Events if self.has_filter => &EVENT_FILTERS,
            Subject::DeadLetters if self.has_filter => &LETTER_FILTERS,
            Subject::Pauses => &PAUSE_NAMES,
            Subject::Events | Subject::DeadLetters => &[],
        }
    }

    /// Whether it can be kept to stuck events.
    pub(super) fn knows_stuck(&self) -> bool {
        matches!(self.name, "retry" | "discard")
    }

    /// The fields that are longer than [`LONGEST_LINE`], except contents and the way back.
    pub(super) fn long_fields<'a>(&self, form: &'a Form) -> impl Iterator<Item = &'a str> {
        let contents = self.inputs.iter().filter(|input| input.kind == InputKind::Contents);
        let contents: Vec<&str> = contents.map(|input| input.name).collect();
        let lines = form.fields().filter(move |(name, _)| {
            let name = name.strip_prefix("original_").unwrap_or(name);
            name != "back" && !contents.contains(&name)
        });
        lines.filter(|(_, value)| value.chars().count() > LONGEST_LINE).map(|(name, _)| name)
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

    /// Whether `form` keeps it to a rate, so that it may take hours.
    pub(super) fn is_paced(&self, form: &Form) -> bool {
        self.inputs.iter().any(|input| input.name == "rate") && form.get("rate").is_some()
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
        for name in self.filters() {
            line = line.option(name, form.get(&name.replace('-', "_")));
        }
        line.flag("stuck", self.knows_stuck() && form.is_set("stuck"))
            .flag("all", self.subject == Subject::Pauses && form.is_set("all"))
    }

    /// The command that does it, as the confirmed `form` says, without the reason, and what it
    /// reads from standard input.
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
        if self.inputs.iter().any(|input| input.kind == InputKind::Contents) {
            line = line.option("if-unchanged", form.get("if_unchanged"));
        }
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
        (line, contents)
    }
}
