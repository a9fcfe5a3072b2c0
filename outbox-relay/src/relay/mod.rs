//! The relay: what it has, and a turn of it from the outside. `relay/take_up.rs` is what it does with what has ended, `relay/turn.rs`
//! what it begins, `relay/run.rs` the loop that repeats the two.

pub(crate) mod acknowledgements;
mod completions;
mod engine;
mod reconnect;
mod run;
mod sender;
mod tick;

use std::sync::Arc;
use std::time::Instant;

use service_kit::backoff::Backoff;
use service_kit::health::{Health, Need};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::broker::topology::Topology;
use crate::config::{Config, Ordering, Retention};
use crate::database::queries::Holding;
use crate::database::{Database, DatabaseError, SettleSession};
use crate::inspector::{Inspector, Scope, backlog};
use crate::metrics;
use crate::publish::Published;
use crate::publish::window::{BLOCKED, Patience};
use crate::settle::schedule::Batch;
use crate::settle::unsettled;
use crate::settle::{Settled, settle, settle_again};

pub(crate) use engine::Engine;
pub(crate) use run::run;

use acknowledgements::Acknowledgements;
use reconnect::Link;
use sender::Sender;

/// What a turn did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What became of events was noted; there may be more.
    Worked,
    /// Events are on their way.
    Busy,
    /// Nothing is due.
    Idle,
    /// Other relays own all lanes.
    StandingBy,
    /// The database or the broker can't be used for now.
    Unavailable,
}

/// What runs beside the turns.
#[derive(Debug)]
pub(crate) enum Done {
    Published(Published),
    Settled(Settled),
    /// Events that could not be settled before were tried again.
    SettledAgain(Settled),
    SettleSession(Result<SettleSession, DatabaseError>),
}

/// A relay with its connections.
#[derive(Debug)]
pub struct Relay {
    config: Config,
    topology: Topology,
    stop: CancellationToken,
    health: Health,
    database: Link<Database>,
    broker: Link<Broker>,
    engine: Engine,
    acknowledgements: Acknowledgements,
    inspector: Inspector,
    tasks: JoinSet<Done>,
    sender: Sender,
    /// The session that settles is being opened again.
    is_reopening: bool,
    reopening: Backoff,
}

impl Relay {
    /// A relay that is not connected yet. It begins no further window once `stop` is cancelled.
    #[must_use]
    pub fn new(config: Config, health: &Health, stop: CancellationToken) -> Self {
        metrics::describe();
        backlog::describe();
        unsettled::describe();
        let broker = health.dependency("rabbitmq", Need::Required);
        let args = &config.relay;
        let ordered = args.relay_ordering == Ordering::Strict;
        let holding = Holding { ordered, stuck_holds: config.stuck_holds() };
        let patience = Patience {
            confirm: args.relay_confirm_timeout,
            stop: stop.clone(),
            drain: config.process.shutdown_grace / 2,
        };
        Self {
            topology: Topology::new(args),
            stop,
            health: health.clone(),
            database: Link::new(health.dependency("postgresql", Need::Required)),
            broker: Link::new(broker),
            engine: Engine::new(args, holding, Instant::now()),
            acknowledgements: Acknowledgements::default(),
            inspector: Inspector::new(config.clone(), holding),
            tasks: JoinSet::new(),
            sender: Sender::new(args, patience),
            is_reopening: false,
            reopening: Backoff::reconnect(),
            config,
        }
    }

    /// Takes up what has ended, and begins what can begin. Waits for the answers of a database that is connected, but never for the
    /// broker's, for a connection or for anything to become due.
    ///
    /// To be awaited to its end: a turn that is dropped on its way leaves events taken that nobody sends.
    pub async fn run_once(&mut self) -> Outcome {
        let settled = self.take_up();
        self.database.take_up().await;
        self.broker.take_up().await;
        if let Some(places) = self.inspector.take_found() {
            self.engine.suspect(&places);
        }
        self.notice_losses();
        self.connect_database();
        self.connect_broker();
        self.reopen_settling();
        self.settle();
        let outcome = match self.turn().await {
            Ok(outcome) => outcome,
            Err(error) => {
                self.lose_database(&error.to_string());
                Outcome::Unavailable
            }
        };
        let (lanes, end) = (self.engine.lanes.open(), self.engine.scanner.low_watermark());
        self.inspector.keep_to(Scope { lanes, end });
        if settled { Outcome::Worked } else { outcome }
    }

    fn notice_losses(&mut self) {
        if self.database.get().is_some_and(|database| database.is_closed()) {
            self.lose_database("the server closed the connection");
        }
        let ended = self.broker.get().and_then(|broker| broker.ended().map(str::to_owned));
        if let Some(reason) = ended {
            self.broker.lost(&reason);
        }
        // Here, whatever the database does meanwhile.
        if self.broker.get().is_some_and(|broker| broker.is_blocked()) {
            self.broker.hindered(BLOCKED);
        }
    }

    /// The loss of the session that settles is none of the lanes, which the other session holds.
    fn reopen_settling(&mut self) {
        let is_lost = |database: &mut Database| database.settle.session.is_closed();
        if self.is_reopening || !self.database.get().is_some_and(is_lost) {
            return;
        }
        self.is_reopening = true;
        let pause = self.reopening.next_delay();
        let (config, stop) = (self.config.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let reopen = async {
                tokio::time::sleep(pause).await;
                let (url, table) = (config.database.url(), &config.outbox.outbox_table);
                SettleSession::reopen(url, table).await
            };
            let session = stop.run_until_cancelled(reopen).await;
            Done::SettleSession(session.unwrap_or(Err(DatabaseError::Silent)))
        });
    }

    /// Begins to note outcomes, if it is time.
    fn settle(&mut self) {
        let Some(database) = self.database.get() else {
            return;
        };
        if database.settle.session.is_closed() {
            return;
        }
        let is_in_flight = !self.tasks.is_empty();
        let owns = database.claim.is_alive();
        let Some(batch) = self.engine.settling.next(is_in_flight, owns, Instant::now()) else {
            return;
        };
        let session = Arc::clone(&database.settle);
        let keep = self.config.retention.outbox_retention != Retention::None;
        self.tasks.spawn(async move {
            match batch {
                Batch::New(settlement) => {
                    let begun = Instant::now();
                    let settled = settle(session, settlement, keep).await;
                    metrics::settled(begun.elapsed());
                    Done::Settled(settled)
                }
                Batch::Again(unsettled) => {
                    Done::SettledAgain(settle_again(session, unsettled, keep).await)
                }
            }
        });
    }

    fn connect_database(&mut self) {
        let config = self.config.clone();
        self.database.begin(async move { Database::connect(&config).await });
    }

    fn connect_broker(&mut self) {
        let (url, topology) = (self.config.broker.url().clone(), self.topology.clone());
        let channels = self.config.relay.relay_channels;
        self.broker.begin(async move { Broker::connect(&url, topology, channels).await });
    }

    /// The session is gone, and the lanes with it.
    fn lose_database(&mut self, reason: &str) {
        self.database.failed(reason);
        self.sender.lose_lanes();
        self.acknowledgements.lose_session();
        self.engine.lost_session(Instant::now());
    }
}
