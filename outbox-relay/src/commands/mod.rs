//! The commands of a person at the terminal: each does one thing and ends.
//!
//! | module | what it gives |
//! |---|---|
//! | `check`, `schema` | adopting the relay |
//! | `status`, `events`, `show` | looking |
//! | `retry`, `discard`, `replay`, `prune` | changing; all but the last leave rows in the audit table |
//! | `acknowledged`, `untouched`, `holders` | what relays say of a change; events that were not changed, and who has them locked |
//! | `target`, `session`, `queries` | the database that a command works on |
//! | `selection`, `moment`, `holding`, `signature` | arguments that several commands have |
//! | `event`, `print`, `table`, `plain`, `span` | what people and programs get to read |

mod acknowledged;
mod check;
mod discard;
mod event;
mod events;
mod holders;
mod holding;
mod moment;
mod plain;
mod print;
mod prune;
mod queries;
mod replay;
mod retry;
mod schema;
mod selection;
mod session;
mod show;
mod signature;
mod span;
mod status;
mod table;
mod target;
mod untouched;

use std::process::ExitCode;

use clap::Subcommand;
use service_kit::config::EXIT_USAGE;
use service_kit::telemetry;

/// What a person may ask for.
#[derive(Debug, Subcommand)]
pub enum Errand {
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

/// How a command ended that could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All is well.
    Well,
    /// Not all of it could be done, or something was found; what it was has been printed.
    Findings,
    /// Done, but a relay may still send some of it as it was before.
    MayStillArrive,
}

/// The exit status of [`End::MayStillArrive`].
const EXIT_MAY_STILL_ARRIVE: u8 = 3;

/// What was typed can't be done, whatever the servers say.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(String);

impl Errand {
    /// Does it, and says on standard error in one sentence why it could not be done.
    ///
    /// The exit status is 0 when all is well, 1 when it failed or found something, 3 when what was changed may still arrive as it was
    /// before, 64 when what was typed can't be done.
    #[must_use]
    pub fn carry_out(self) -> ExitCode {
        telemetry::install_tls();
        let done =
            tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
                let done = runtime.block_on(self.run());
                // What is still blocked in a thread (a name look-up, say) must not hold the exit up.
                runtime.shutdown_background();
                done
            });
        match done {
            Ok(End::Well) => ExitCode::SUCCESS,
            Ok(End::Findings) => ExitCode::FAILURE,
            Ok(End::MayStillArrive) => ExitCode::from(EXIT_MAY_STILL_ARRIVE),
            // Whoever reads has what it wanted, as `head` does.
            Err(error) if error.is::<print::Hangup>() => ExitCode::SUCCESS,
            Err(error) => {
                print::complain(&format!("{error:#}"));
                if error.is::<Misuse>() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
            }
        }
    }

    async fn run(self) -> anyhow::Result<End> {
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
