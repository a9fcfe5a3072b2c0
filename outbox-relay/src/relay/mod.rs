//! The relay: its state, and one tick of it from the outside.
//!
//! | file | what is in it |
//! |---|---|
//! | `run` | the loop, and how it ends |
//! | `tick` | what a tick begins: lanes, scans, windows |
//! | `tasks`, `completions` | what runs beside the loop, and what is done when it has ended |
//! | `sender` | windows are loaded and sent |
//! | `reconnect` | connections that are opened again and again |
//! | `seen_changes` | commands are told that this relay has seen their changes |
//! | `engine` | what the relay knows and decides, without its connections |

mod completions;
mod engine;
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
use crate::inspector::{Inspector, Scope, backlog};
use crate::metrics;
use crate::publish::window::{BLOCKED, Deadlines};
use crate::settle::unsettled_events;

pub(crate) use run::run;

use engine::Engine;
use reconnect::Reconnecting;
use seen_changes::SeenChanges;
use sender::Sender;
use tasks::Completion;

/// What a tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Events were settled; there may be more to do.
    Worked,
    /// Events are in flight.
    Busy,
    /// Nothing is due.
    Idle,
    /// Other relays own all lanes.
    StandingBy,
    /// The database or the broker can't be used for now.
    Unavailable,
}

/// A relay with its connections.
#[derive(Debug)]
pub struct Relay {
    /// The settings, never changed.
    config: Config,
    /// The exchange that is published to; each new connection to the broker declares it.
    topology: Topology,
    /// Cancelled from outside when the relay is told to stop.
    stop: CancellationToken,
    /// What `/readyz` says. `tick` writes the notes, `database` and `broker` whether they can be
    /// used.
    health: Health,
    /// Both sessions with PostgreSQL. `tasks` opens them; `tick` and `completions` mark them as
    /// lost or usable.
    database: Reconnecting<Database>,
    /// The connections to RabbitMQ. `tasks` opens them; `sender` takes a free channel, and
    /// `completions` gives it back.
    broker: Reconnecting<Broker>,
    /// All decisions: lanes, scans, the queue, windows, outcomes. `tick` and `completions` tell it
    /// what happened.
    engine: Engine,
    /// Which changes that people made this relay has seen. `tick` looks for new ones.
    seen_changes: SeenChanges,
    /// Reads the table beside the loop. After each tick it is told which lanes are owned; `run`
    /// takes what it has found.
    inspector: Inspector,
    /// Windows in flight, statements that settle, and the opening of the session for these.
    /// `completions` takes what has ended.
    tasks: JoinSet<Completion>,
    /// Loads and sends windows, as `tick` asks; holds what that takes besides the decisions.
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
            inspector: Inspector::new(config.clone(), policy),
            tasks: JoinSet::new(),
            sender: Sender::new(args, deadlines),
            is_reopening: false,
            reopen_backoff: Backoff::reconnect(),
            config,
        }
    }

    /// Handles what has ended, and begins what can begin. Waits for the answers of a database that
    /// is connected, but never for the broker's, for a connection or for anything to become due.
    ///
    /// Has to be awaited to its end: if it is dropped before, events may be taken that nobody
    /// sends.
    pub async fn run_once(&mut self) -> Outcome {
        let settled = self.drain_completions();
        self.database.poll_connected().await;
        self.broker.poll_connected().await;
        if let Some(event_refs) = self.inspector.take_found() {
            self.engine.add_suspects(&event_refs);
        }
        self.detect_losses();
        self.connect_database();
        self.connect_broker();
        self.reopen_settle_session();
        self.settle();
        let outcome = match self.tick().await {
            Ok(outcome) => outcome,
            Err(error) => {
                self.lose_database(&error.to_string());
                Outcome::Unavailable
            }
        };
        let (lanes, end) = (self.engine.lanes.open(), self.engine.scanner.low_watermark());
        self.inspector.set_scope(Scope { lanes, end });
        if settled { Outcome::Worked } else { outcome }
    }

    fn detect_losses(&mut self) {
        if self.database.get().is_some_and(|database| database.is_closed()) {
            self.lose_database("the server closed the connection");
        }
        let ended = self.broker.get().and_then(|broker| broker.ended().map(str::to_owned));
        if let Some(reason) = ended {
            self.broker.mark_lost(&reason);
        }
        // Here, and not in the tick, so that it is noticed whatever the database does meanwhile.
        if self.broker.get().is_some_and(|broker| broker.is_blocked()) {
            self.broker.mark_blocked(BLOCKED);
        }
    }

    /// The session that holds the lanes is gone, and the lanes with it.
    fn lose_database(&mut self, reason: &str) {
        self.database.mark_failed(reason);
        self.sender.lose_lanes();
        self.seen_changes.lose_session();
        self.engine.session_lost(Instant::now());
    }
}
