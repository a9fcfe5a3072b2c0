//! Which of the group roles of `sql/roles.sql` a command takes.

/// Returns the role that people need who run the command `name`.
pub(super) fn group_role(name: &str) -> Option<&'static str> {
    match name {
        "status" | "failures" | "events" | "show" | "where" | "reconcile" | "pauses" | "audit" => {
            Some("outbox_viewer")
        }
        "retry" | "edit" | "replay" | "pause" | "resume" => Some("outbox_operator"),
        "discard" | "restore" | "forget" | "prune" => Some("outbox_admin"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_of_an_operator_takes_a_role() {
        let others = [
            "run",
            "health",
            "check",
            "schema",
            "man",
            "completions",
            "dead-letters",
            "console",
            "openapi",
        ];
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert_eq!(group_role(name).is_none(), others.contains(&name), "{name}");
        }
    }
}
