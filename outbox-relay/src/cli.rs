//! What can be typed after `outbox-relay`; the comments here are the help texts.

use std::ffi::OsString;

use clap::error::Error;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use service_kit::HostPort;

use crate::commands::Errand;
use crate::config::Config;
use crate::help;

/// What was typed. Without a command it is `run`, so that a container needs nothing but its
/// environment.
#[derive(Debug)]
pub struct Cli {
    /// The command.
    pub command: Command,
}

/// Publishes the rows of a PostgreSQL outbox table to RabbitMQ, at least once and in the order of
/// each aggregate.
#[derive(Debug, Parser)]
#[command(name = "outbox-relay", version, disable_help_subcommand = true)]
struct Typed {
    #[command(subcommand)]
    command: Command,
}

/// What the program is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish events until told to stop; this is what happens without a command
    Run(Box<Config>),
    /// Ask the relay on this machine whether it is ready
    Health {
        /// Its operations port
        #[arg(long, env = "OPS_ADDR", default_value = "127.0.0.1:9001", value_name = "HOST:PORT")]
        ops_addr: HostPort,
    },
    /// Do one thing and end.
    #[command(flatten)]
    Errand(Errand),
}

impl Cli {
    /// The settings of `run`.
    ///
    /// # Errors
    /// One sentence naming the variable, when two settings contradict each other, or when another
    /// command was typed.
    pub fn into_config(self) -> Result<Config, String> {
        match self.command {
            Command::Run(config) => config.relay.check().map(|()| *config),
            Command::Health { .. } | Command::Errand(_) => Err("the command is not run".to_owned()),
        }
    }
}

impl Parser for Cli {
    fn try_parse_from<I, T>(args: I) -> Result<Self, Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let args = with_run(args.into_iter().map(Into::into).collect());
        let mut matches = Self::command().try_get_matches_from(args)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut Self::command()))
    }
}

/// The arguments with `run` put in where no command was typed. Only so do the other commands need
/// none of its settings.
pub(crate) fn with_run(mut args: Vec<OsString>) -> Vec<OsString> {
    let first = args.get(1).map(|arg| arg.to_string_lossy());
    let asks = ["-h", "--help", "-V", "--version"];
    if first.is_none_or(|first| first.starts_with('-') && !asks.contains(&&*first)) {
        args.insert(args.len().min(1), "run".into());
    }
    args
}

impl CommandFactory for Cli {
    fn command() -> clap::Command {
        help::arranged(Typed::command())
    }

    fn command_for_update() -> clap::Command {
        Self::command()
    }
}

impl FromArgMatches for Cli {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Typed::from_arg_matches(matches).map(|typed| Self { command: typed.command })
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
    fn run_is_put_in_where_no_command_was_typed() {
        let typed = |args: &[&str]| {
            let args = [&["outbox-relay"], args].concat();
            with_run(args.iter().map(Into::into).collect()).len() > args.len()
        };
        assert!(typed(&[]));
        assert!(typed(&["--relay-envelope", "none", "--help"]));
        for whole in ["run", "status", "stauts", "-h", "--help", "-V", "--version"] {
            assert!(!typed(&[whole]), "{whole}");
        }
    }
}
