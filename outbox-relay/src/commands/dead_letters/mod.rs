//! `dead-letters`: the desk for what consumers could not process. Each file is a command.

mod collect;
mod schema;

use std::process::ExitCode;

use clap::Subcommand;

use super::outcome::Outcome;

/// A command about dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Print the SQL that adds the tables of the desk to a database
    ///
    /// The SQL creates the tables, their indexes and views. The command connects to no database.
    Schema(schema::SchemaArgs),
    /// Move the messages of a dead-letter queue into the table
    ///
    /// Each message becomes a row before it is acknowledged. The command ends when the messages
    /// that were in the queue at its start are collected; with --follow it goes on until SIGTERM or
    /// SIGINT. A message that the database refuses stays in the queue and is named; the exit status
    /// is then 1. One collector at a time collects a queue; with --follow a second one waits for
    /// its turn.
    Collect(Box<collect::CollectArgs>),
}

impl DeadLettersCommand {
    /// Runs a command that goes on until it is stopped; returns any other.
    pub(super) fn run_process(self) -> Result<ExitCode, Self> {
        match self {
            Self::Collect(args) if args.follow => Ok(args.run_process()),
            other => Err(other),
        }
    }

    pub(super) async fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Schema(args) => args.run(),
            Self::Collect(args) => Box::pin(args.run()).await,
        }
    }
}
