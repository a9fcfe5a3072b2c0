//! The commands of `customer-service consumer`: consume by default, `check` and `rebuild-queue`.

use clap::error::{Error, ErrorKind};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::check::CheckArgs;
use super::config::ConsumerConfig;
use super::rebuild::RebuildArgs;

/// A command and its arguments. Derived arguments would require the settings of the default command
/// for the other two as well.
#[derive(Debug, Clone)]
pub enum ConsumerCommand {
    /// Count events until shutdown.
    Consume(Box<ConsumerConfig>),
    /// Check whether a consumer can work.
    Check(Box<CheckArgs>),
    /// Replace the work queue by one with the right arguments.
    RebuildQueue(Box<RebuildArgs>),
}

const CHECK: &str = "check";
const REBUILD_QUEUE: &str = "rebuild-queue";

impl FromArgMatches for ConsumerCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        match matches.subcommand() {
            None => ConsumerConfig::from_arg_matches(matches).map(|it| Self::Consume(Box::new(it))),
            Some((CHECK, matches)) => {
                CheckArgs::from_arg_matches(matches).map(|it| Self::Check(Box::new(it)))
            }
            Some((REBUILD_QUEUE, matches)) => {
                RebuildArgs::from_arg_matches(matches).map(|it| Self::RebuildQueue(Box::new(it)))
            }
            Some(_) => Err(Error::new(ErrorKind::InvalidSubcommand)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ConsumerCommand {
    fn augment_args(command: Command) -> Command {
        let check = CheckArgs::augment_args(Command::new(CHECK))
            .about("Check that a consumer can work here, and print a fix for each problem");
        let rebuild_queue = RebuildArgs::augment_args(Command::new(REBUILD_QUEUE))
            .about("Rebuild the work queue with the right arguments, without losing messages");
        ConsumerConfig::augment_args(command)
            .subcommand_negates_reqs(true)
            .args_conflicts_with_subcommands(true)
            .disable_help_subcommand(true)
            .subcommands([check, rebuild_queue])
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
