//! The command line. The doc comments of the arguments are the help texts.

use std::ffi::OsString;

use clap::error::Error;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use service_kit::HostPort;

use crate::commands::AdminCommand;
use crate::config::Config;
use crate::help;
use crate::manual::ManualCommand;

/// The parsed command line. Without a command it is `run`, so that a container needs only its
/// environment.
#[derive(Debug)]
pub struct Cli {
    /// The command.
    pub command: Command,
}

/// Publish the rows of a PostgreSQL outbox table to RabbitMQ: at least once, and in order within
/// each aggregate.
#[derive(Debug, Parser)]
#[command(name = "outbox-relay", version, disable_help_subcommand = true)]
struct ParsedArgs {
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish events until stopped; the default command
    ///
    /// On SIGTERM or SIGINT the relay settles what is in flight, within SHUTDOWN_GRACE, and exits.
    Run(Box<Config>),
    /// Ask the relay on this host whether it is ready
    ///
    /// The exit status is 0 if it is ready and 1 if it is not.
    Health {
        /// The relay's operations port
        #[arg(long, env = "OPS_ADDR", default_value = "127.0.0.1:9001", value_name = "HOST:PORT")]
        ops_addr: HostPort,
    },
    /// Serve the console: what the commands do, in a browser and as JSON
    ///
    /// Every page and every change is one of the other commands, run as a process of its own. The
    /// console answers on CONSOLE_ADDR; whoever else than this machine is to reach it has to log in
    /// (CONSOLE_AUTH). Settings of the commands, such as RELAY_*, are read from the environment.
    #[cfg(feature = "console")]
    Console(Box<crate::console::ConsoleConfig>),
    /// A command of the operator.
    #[command(flatten)]
    Admin(AdminCommand),
    /// A command that prints what a package installs beside the program.
    #[command(flatten)]
    Manual(ManualCommand),
}

impl Cli {
    /// Returns the settings of `run`.
    ///
    /// # Errors
    /// A sentence that names the variable if two settings contradict each other, or if the command
    /// is not `run`.
    pub fn into_config(self) -> Result<Config, String> {
        match self.command {
            Command::Run(config) => config.relay.check().map(|()| *config),
            _ => Err("the command is not run".to_owned()),
        }
    }
}

impl Parser for Cli {
    fn try_parse_from<I, T>(args: I) -> Result<Self, Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let args = with_default_command(args.into_iter().map(Into::into).collect());
        let mut matches = Self::command().try_get_matches_from(args)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut Self::command()))
    }
}

/// Returns the arguments with `run` inserted if they name no command. With `run` as a command of
/// its own, the other commands do not need its settings.
pub(crate) fn with_default_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let first = args.get(1).map(|arg| arg.to_string_lossy());
    let global_flags = ["-h", "--help", "-V", "--version"];
    if first.is_none_or(|first| first.starts_with('-') && !global_flags.contains(&&*first)) {
        args.insert(args.len().min(1), "run".into());
    }
    args
}

impl CommandFactory for Cli {
    fn command() -> clap::Command {
        help::with_layout(ParsedArgs::command())
    }

    fn command_for_update() -> clap::Command {
        Self::command()
    }
}

impl FromArgMatches for Cli {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        ParsedArgs::from_arg_matches(matches).map(|args| Self { command: args.command })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_default_command() {
        let is_default = |args: &[&str]| {
            let args = [&["outbox-relay"], args].concat();
            with_default_command(args.iter().map(Into::into).collect()).len() > args.len()
        };
        assert!(is_default(&[]));
        assert!(is_default(&["--relay-envelope", "none", "--help"]));
        for arg in ["run", "status", "stauts", "-h", "--help", "-V", "--version"] {
            assert!(!is_default(&[arg]), "{arg}");
        }
    }
}
