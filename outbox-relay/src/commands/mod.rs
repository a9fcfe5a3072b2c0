//! The operator's commands: each does one thing and exits.
//!
//! | module | what it holds |
//! |---|---|
//! | `check`, `schema` | setting the outbox up |
//! | `status`, `events`, `show` | inspecting it; `event` is an event as they print it |
//! | `retry`, `discard`, `replay`, `prune` | changing it; all but `prune` add rows to the audit table |
//! | `propagation` | which relays have seen a change |
//! | `skipped` | which events were not changed, and why |
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
    /// Check that a relay can work here, and print how to fix what is wrong
    ///
    /// Checks the database, the outbox, the privileges of the role, and the broker, with the
    /// settings of a relay. Each problem is printed with the command or the SQL that fixes it.
    /// Nothing is changed: the message that is published to the exchange is rolled back. The exit
    /// status is 1 if there is a problem.
    Check(Box<check::CheckArgs>),
    /// Print the SQL that adds the outbox to a database
    ///
    /// The SQL creates the table, its indexes and views, and the audit table. The command connects
    /// to no database.
    Schema(schema::SchemaArgs),
    /// Show the backlog, the rate, the relays with their lanes, and stuck events
    ///
    /// Prints how many events are pending, the oldest of them, how many of each type were published
    /// in the last minute, which relay owns which lanes, and the first stuck events.
    Status(Box<status::StatusArgs>),
    /// List events
    ///
    /// Pending and stuck events are listed oldest first, all others newest first. The state "behind
    /// 17" means that event 17 of the same aggregate failed and holds this event back.
    Events(Box<events::EventsArgs>),
    /// Show one event with its payload, its headers and what people did to it
    ///
    /// A discarded event is shown from its copy in the audit table.
    Show(Box<show::ShowArgs>),
    /// Make events due that are stuck or wait for their next attempt
    ///
    /// An event that another session has locked is skipped and named. The command ends when every
    /// active relay has confirmed that it has seen the change. The exit status is 3 if a relay does
    /// not confirm within 10 s.
    Retry(Box<retry::RetryArgs>),
    /// Delete events that must not be published, and keep a copy in the audit table
    ///
    /// A published event can't be discarded. An event that another session has locked is skipped
    /// and named. The command ends when every active relay has confirmed that it will not send the
    /// events. An event that a relay had sent before is in flight: it may still arrive, or has
    /// arrived. The exit status is 3 then, and also if a relay does not confirm within 10 s.
    Discard(Box<discard::DiscardArgs>),
    /// Publish events again that were published before
    ///
    /// Messages keep their event_id, so that consumers which deduplicate skip what they have
    /// applied, and carry the header x-replayed. published_at does not change. Events are sent in
    /// the order of their ids, independently of what the relays publish meanwhile. Without EVENT_ID
    /// the command asks before it publishes.
    Replay(Box<replay::ReplayArgs>),
    /// Delete events that were published long enough ago
    ///
    /// Deletes them in small batches, as a relay does after OUTBOX_RETENTION. An event that another
    /// session has locked is skipped and named.
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
