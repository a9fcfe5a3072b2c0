//! The operator's commands: each does one thing and exits.
//!
//! | module | what it holds |
//! |---|---|
//! | `check`, `schema` | setting the outbox up |
//! | `status`, `events`, `show` | inspecting it; `event` is an event as they print it |
//! | `retry`, `discard`, `replay`, `prune` | changing it; all but `prune` leave rows in the audit table |
//! | `propagation`, `skipped` | after a change: which relays have seen it, which events were not changed and why |
//! | `args` | arguments that several commands share |
//! | `session`, `queries` | the database session, and one function per SQL statement |
//! | `output`, `outcome` | what is printed, and the exit status |

mod args;
mod check;
mod discard;
mod event;
mod events;
mod outcome;
mod output;
mod propagation;
mod prune;
mod queries;
mod replay;
mod retry;
mod schema;
mod session;
mod show;
mod skipped;
mod status;

use std::process::ExitCode;

use clap::Subcommand;
use service_kit::telemetry;

use outcome::Outcome;

/// A command of the operator.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Check that a relay could work here, and say what mends what is wrong
    Check(Box<check::CheckArgs>),
    /// Print the SQL that adds the outbox to a database
    Schema(schema::SchemaArgs),
    /// Show the backlog, the rate, the relays with their lanes, and what is stuck
    Status(Box<status::StatusArgs>),
    /// List events
    Events(Box<events::EventsArgs>),
    /// Show one event with its payload, its headers and what people did to it
    Show(Box<show::ShowArgs>),
    /// Make events due that are stuck or wait for their next attempt
    Retry(Box<retry::RetryArgs>),
    /// Delete events that are not to be published; a copy is kept with the reason
    Discard(Box<discard::DiscardArgs>),
    /// Publish again what was published
    Replay(Box<replay::ReplayArgs>),
    /// Delete what was published long enough ago
    Prune(Box<prune::PruneArgs>),
}

impl AdminCommand {
    /// Runs the command, prints an error to standard error, and returns the exit status.
    ///
    /// The exit status is 0 on success, 1 when the command failed or found a problem, 3 when a
    /// changed event may still arrive as it was before, and 64 for a usage error.
    #[must_use]
    pub fn run(self) -> ExitCode {
        telemetry::install_tls();
        let result =
            tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
                let result = runtime.block_on(self.execute());
                // A blocked thread (a name look-up, say) must not delay the exit.
                runtime.shutdown_background();
                result
            });
        outcome::exit_code(result)
    }

    async fn execute(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Check(args) => Box::pin(args.run()).await,
            Self::Schema(args) => args.run(),
            Self::Status(args) => Box::pin(args.run()).await,
            Self::Events(args) => Box::pin(args.run()).await,
            Self::Show(args) => Box::pin(args.run()).await,
            Self::Retry(args) => Box::pin(args.run()).await,
            Self::Discard(args) => Box::pin(args.run()).await,
            Self::Replay(args) => Box::pin(args.run()).await,
            Self::Prune(args) => Box::pin(args.run()).await,
        }
    }
}
