//! The layout of the help: commands in groups, then examples.

use std::fmt::Write as _;

use clap::Command;
use clap::builder::{StyledStr, Styles};

/// The commands, in the order of the help.
const GROUPS: [(&str, &[&str]); 3] = [
    ("Relay", &["run", "health", "check", "schema"]),
    ("Look", &["status", "events", "show"]),
    ("Change", &["retry", "discard", "replay", "prune"]),
];

const EXAMPLES: &str =
    "  outbox-relay schema | psql \"$DATABASE_URL\"          add the outbox to a database
  outbox-relay check                                  what is missing before the relay can work
  outbox-relay status --watch                         how far behind it is, and who relays what
  outbox-relay events --stuck                         what no relay tries again by itself, and why
  outbox-relay retry --stuck --type order.created     once the reason is mended
  outbox-relay discard 0190163d-… --reason 'a test order'
  outbox-relay replay --type order.created --since 2h --dry-run";

const NOTES: &str = "\
Settings are flags or environment variables, such as DATABASE_URL, RABBITMQ_URL and OUTBOX_TABLE: see
outbox-relay COMMAND --help. All but run, health and schema print for people, or JSON with --json.

Exit status: 0 all is well, 1 it failed or found something, 64 what was typed or set is wrong.
-V, --version prints the version.";

/// Settings of the relay that a command does not use.
const HIDDEN_SETTINGS: [(&str, &[&str]); 2] = [
    (
        "check",
        &[
            "relay_envelope",
            "relay_app_id",
            "relay_ordering",
            "relay_window",
            "relay_max_message_bytes",
            "relay_poll_min",
            "relay_poll_max",
            "relay_confirm_timeout",
            "relay_backoff_min",
            "relay_backoff_max",
            "relay_max_attempts",
            "relay_when_stuck",
        ],
    ),
    (
        "replay",
        &[
            "relay_ordering",
            "relay_channels",
            "relay_poll_min",
            "relay_poll_max",
            "relay_backoff_min",
            "relay_backoff_max",
            "relay_max_attempts",
            "relay_when_stuck",
        ],
    ),
];

/// Adds the layout of the help to `command`.
pub(crate) fn with_layout(mut command: Command) -> Command {
    for (name, hidden) in HIDDEN_SETTINGS {
        command = command.mut_subcommand(name, |sub| {
            sub.mut_args(|arg| {
                let is_hidden = hidden.contains(&arg.get_id().as_str());
                if is_hidden { arg.hide(true) } else { arg }
            })
        });
    }
    let template = template(&command);
    command.override_usage("outbox-relay [COMMAND] [OPTIONS]").help_template(template)
}

/// Returns the template of the program's own help.
fn template(command: &Command) -> StyledStr {
    let styles = Styles::styled();
    let (heading, literal) = (styles.get_header(), styles.get_literal());
    let mut page = StyledStr::new();
    // Writing to a string does not fail.
    let mut write = |text: &str| {
        let _infallible = page.write_str(text);
    };
    write("{about}\n\n{usage-heading} {usage}\n");
    for (group, names) in GROUPS {
        write(&format!("\n{heading}{group}:{heading:#}\n"));
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            write(&format!("  {literal}{name:<9}{literal:#}{about}\n"));
        }
    }
    write(&format!("\n{heading}Examples:{heading:#}\n{EXAMPLES}\n\n{NOTES}\n"));
    page
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn the_help_names_every_command_once() {
        let command = Cli::command();
        let mut all: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        let mut shown: Vec<&str> =
            GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        all.sort_unstable();
        shown.sort_unstable();
        assert_eq!(shown, all);
    }

    #[test]
    fn hidden_settings_exist() {
        let command = Cli::command();
        for (name, hidden) in HIDDEN_SETTINGS {
            let sub = command.find_subcommand(name).expect(name);
            for id in hidden {
                assert!(sub.get_arguments().any(|arg| arg.get_id() == id), "{name} {id}");
            }
        }
    }
}
