//! The arguments of a command, and how a person would type them.

/// The arguments of a command, without those that only a program needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// The command and its options, before `--`.
    options: Vec<String>,
    /// What stands behind `--`: ids, which then can't be taken for options.
    operands: Vec<String>,
}

impl CommandLine {
    /// A command, such as `dead-letters list`.
    pub(super) fn new(command: &str) -> Self {
        let options = command.split(' ').map(ToOwned::to_owned).collect();
        Self { options, operands: Vec::new() }
    }

    /// Adds `--name=value`, if there is a value.
    pub(super) fn option(mut self, name: &str, value: Option<&str>) -> Self {
        self.options.extend(value.map(|value| format!("--{name}={value}")));
        self
    }

    /// Adds `--name`, if it is to be there.
    pub(super) fn flag(mut self, name: &str, is_set: bool) -> Self {
        self.options.extend(is_set.then(|| format!("--{name}")));
        self
    }

    /// Adds an operand.
    pub(super) fn operand(mut self, value: impl Into<String>) -> Self {
        self.operands.push(value.into());
        self
    }

    /// What a process gets: JSON is asked for.
    pub(super) fn arguments(&self) -> Vec<String> {
        let json = ["--json".to_owned()];
        let mut arguments: Vec<String> = self.options.iter().cloned().chain(json).collect();
        if !self.operands.is_empty() {
            arguments.push("--".to_owned());
            arguments.extend(self.operands.iter().cloned());
        }
        arguments
    }

    /// The options with a value, as `--name=value`.
    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.options.iter().map(String::as_str).filter(|option| option.contains('='))
    }

    /// As one would type it in a shell.
    pub(super) fn typed(&self) -> String {
        let words = self.options.iter().map(|option| match option.split_once('=') {
            Some((name, value)) if name.starts_with("--") => format!("{name} {}", quoted(value)),
            _ => quoted(option),
        });
        let is_option = |value: &&String| value.starts_with('-');
        let end = self.operands.iter().find(is_option).map(|_| "--".to_owned());
        let operands = self.operands.iter().map(|operand| quoted(operand));
        let words = words.chain(end).chain(operands).collect::<Vec<_>>();
        format!("outbox-relay {}", words.join(" "))
    }
}

/// A word for a shell (POSIX, 2.2.2): between single quotes where it needs them.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_no_options_and_typed_words_are_quoted() {
        let line = CommandLine::new("dead-letters return")
            .option("queue", Some("a b"))
            .option("kind", None)
            .option("reason", Some("--it's done"))
            .flag("dry-run", true)
            .flag("yes", false)
            .operand("7");
        assert_eq!(
            line.arguments(),
            [
                "dead-letters",
                "return",
                "--queue=a b",
                "--reason=--it's done",
                "--dry-run",
                "--json",
                "--",
                "7"
            ]
        );
        assert_eq!(
            line.typed(),
            r"outbox-relay dead-letters return --queue 'a b' --reason '--it'\''s done' --dry-run 7"
        );
        assert_eq!(CommandLine::new("show").operand("-7").typed(), "outbox-relay show -- -7");
    }
}
