//! The relay: its state.
//!
//! | file | what is in it |
//! |---|---|
//! | `run` | the loop, and how it ends |
//! | `tick` | one turn of the loop |
//! | `begin` | what a tick begins: lanes, scans, windows |
//! | `tasks`, `completions` | what runs beside the loop, and what is done when it has ended |
//! | `sender` | windows are loaded and sent |
//! | `reconnect` | connections that are opened again and again |
//! | `pauses` | what is not to be published for now is read |
//! | `seen_changes` | commands are told that this relay has seen their changes |
//! | `answers` | commands are told how far this relay has sent an event |
//! | `engine` | what the relay knows and decides, without its connections |

mod answers;
mod begin;
mod completions;
mod engine;
mod pauses;
mod reconnect;
mod run;
pub(crate) mod seen_changes;
mod sender;
mod tasks;
mod tick;

use std::time::Instant;

use service_kit::backoff::Backoff;
use service_kit::health::{Health, Need};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::broker::topology::Topology;
use crate::config::{Config, Ordering};
use crate::database::Database;
use crate::database::queries::BlockingPolicy;
use crate::inspector::{Inspector, backlog};
use crate::metrics;
use crate::publish::window::Deadlines;
use crate::settle::unsettled_events;

pub(crate) use run::run;
pub use tick::TickOutcome;

use engine::Engine;
use pauses::PauseReader;
use reconnect::Reconnecting;
use seen_changes::SeenChanges;
use sender::Sender;
use tasks::Completion;

/// A relay with its connections.
#[derive(Debug)]
pub struct Relay {
    /// The settings, never changed.
    config: Config,
    /// The exchange that is published to; each new connection to the broker declares it.
    topology: Topology,
    /// Cancelled from outside when the relay is told to stop.
    stop: CancellationToken,
    /// What `/readyz` says. `begin` writes the notes, `database` and `broker` whether they can be
    /// used.
    health: Health,
    /// Both sessions with PostgreSQL. `tasks` opens them; `tick`, `begin` and `completions` mark
    /// them as lost or usable.
    database: Reconnecting<Database>,
    /// The connections to RabbitMQ. `tasks` opens them; `sender` takes a free channel, and
    /// `completions` gives it back.
    broker: Reconnecting<Broker>,
    /// All decisions: lanes, scans, the queue, windows, outcomes. `tick`, `begin` and `completions`
    /// tell it what happened.
    engine: Engine,
    /// Which changes that people made this relay has seen. `begin` looks for new ones.
    seen_changes: SeenChanges,
    /// Reads what is not to be published for now. `begin` does so before it looks for changes.
    pauses: PauseReader,
    /// Reads the table beside the loop. After each tick it is told which lanes are owned; `run`
    /// takes what it has found.
    inspector: Inspector,
    /// Windows in flight, statements that settle, and the opening of the session for these.
    /// `completions` takes what has ended.
    tasks: JoinSet<Completion>,
    /// Loads and sends windows, as `begin` asks; holds what that takes besides the decisions.
    sender: Sender,
    /// Whether a task opens another session to settle events, so that it is not begun twice.
    is_reopening: bool,
    /// The pauses between such attempts; reset by a statement that succeeded.
    reopen_backoff: Backoff,
}

impl Relay {
    /// A relay that is not connected yet. It begins no further window once `stop` is cancelled.
    #[must_use]
    pub fn new(config: Config, health: &Health, stop: CancellationToken) -> Self {
        metrics::describe();
        pauses::describe();
        let further = config.relay.further_exchanges();
        for exchange in [&config.relay.relay_exchange].into_iter().chain(further) {
            metrics::describe_exchange(exchange.as_str());
        }
        backlog::describe();
        unsettled_events::describe();
        let broker = health.dependency("rabbitmq", Need::Required);
        let args = &config.relay;
        let ordered = args.relay_ordering == Ordering::Strict;
        let policy = BlockingPolicy { ordered, stuck_holds: config.stuck_holds() };
        let deadlines = Deadlines {
            confirm: args.relay_confirm_timeout,
            stop: stop.clone(),
            drain: config.process.shutdown_grace / 2,
        };
        Self {
            topology: Topology::new(args),
            stop,
            health: health.clone(),
            database: Reconnecting::new(health.dependency("postgresql", Need::Required)),
            broker: Reconnecting::new(broker),
            engine: Engine::new(args, policy, Instant::now()),
            seen_changes: SeenChanges::default(),
            pauses: PauseReader::default(),
            inspector: Inspector::new(config.clone(), policy),
            tasks: JoinSet::new(),
            sender: Sender::new(args, deadlines),
            is_reopening: false,
            reopen_backoff: Backoff::reconnect(),
            config,
        }
    }
}
