//! The layout of the help: commands in groups, then examples.

use std::fmt::Write as _;

use clap::Command;
use clap::builder::{StyledStr, Styles};

const INSPECT: &[&str] = if cfg!(feature = "console") {
    &["console", "status", "failures", "events", "show", "pauses", "audit"]
} else {
    &["status", "failures", "events", "show", "pauses", "audit"]
};

/// The commands, in the order of the help.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Relay", &["run", "health", "check", "schema"]),
    ("Inspect", INSPECT),
    (
        "Change",
        &["retry", "edit", "replay", "pause", "resume", "discard", "restore", "forget", "prune"],
    ),
    ("Consumers", &["where", "reconcile", "dead-letters"]),
];

pub(crate) const EXAMPLES: &str =
    "  outbox-relay schema | psql \"$DATABASE_URL\"          add the outbox to a database
  outbox-relay check                                  find what keeps a relay from working
  outbox-relay status --watch                         watch the backlog and the relays
  outbox-relay failures                               group what failed by its cause
  outbox-relay retry --stuck --type order.created     publish them once the cause is fixed
  outbox-relay edit 0190163d-… --reason 'a wrong price' --retry
  outbox-relay discard 0190163d-… --reason 'a test order'
  outbox-relay pause --type order.created --for 30m --reason 'bad deploy'
  outbox-relay replay --type order.created --since 2h --dry-run";

pub(crate) const NOTES: &str = "\
Settings are flags or environment variables, such as DATABASE_URL, RABBITMQ_URL and OUTBOX_TABLE:
see outbox-relay COMMAND --help. Except for run, health and schema, commands print text, or JSON
with --json. outbox-relay --version prints the version, outbox-relay man [COMMAND] a manual page,
outbox-relay completions SHELL what a shell needs to complete commands and flags.

Exit status: 0 on success, 1 if it failed or found a problem, 3 if a changed event may still arrive
as it was before, 64 for wrong arguments or settings, 69 if a server is away. where has its own.";

/// Settings of the relay that a command does not use.
const HIDDEN_SETTINGS: [(&str, &[&str]); 3] = [
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
        "edit",
        &[
            "relay_declare",
            "relay_app_id",
            "relay_ordering",
            "relay_window",
            "relay_channels",
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
    let names: Vec<String> =
        command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, describe);
    }
    let template = template(&command);
    command.override_usage("outbox-relay [COMMAND] [OPTIONS]").help_template(template)
}

/// Shows the description of a command below its summary in the short help too, and keeps the
/// compact layout of the options in the long help.
fn describe(command: Command) -> Command {
    match command.get_long_about().cloned() {
        Some(description) => command.about(description).long_about(None::<&str>),
        None => command,
    }
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
            let summary = about.lines().next().unwrap_or_default();
            write(&format!("  {literal}{name:<13}{literal:#}{summary}\n"));
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
        let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        let mut all: Vec<&str> = shown.map(Command::get_name).collect();
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
