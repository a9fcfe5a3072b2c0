//! The relay: what it has, and a turn of it from the outside. `relay/take_up.rs` is what it does with what has ended, `relay/turn.rs`
//! what it begins, `relay/run.rs` the loop that repeats the two.

mod run;
mod take_up;
mod turn;

use service_kit::health::{Health, Need};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backlog::{self, Backlog};
use crate::broker::Broker;
use crate::config::{Config, Ordering, WhenStuck};
use crate::database::Database;
use crate::flight::Flight;
use crate::lanes::{LaneSet, Lanes};
use crate::link::Link;
use crate::lookout::Lookout;
use crate::measure;
use crate::publish::Published;
use crate::queries::Holding;
use crate::queue::Queue;
use crate::settle::Settled;
use crate::settling::Settling;
use crate::topology::Topology;
use crate::window::Patience;

pub(crate) use run::run;

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
    lanes: Lanes,
    lookout: Lookout,
    queue: Queue,
    backlog: Backlog,
    tasks: JoinSet<Done>,
    flight: Flight,
    settling: Settling,
    /// The session is new, and outcomes of an earlier one are yet to be noted.
    is_catching_up: bool,
}

impl Relay {
    /// A relay that is not connected yet. It begins no further window once `stop` is cancelled.
    #[must_use]
    pub fn new(config: Config, health: &Health, stop: CancellationToken) -> Self {
        measure::describe();
        backlog::describe();
        let broker = health.dependency("rabbitmq", Need::Required);
        let args = &config.relay;
        let ordered = args.relay_ordering == Ordering::Strict;
        let holding = Holding { ordered, stuck_holds: args.relay_when_stuck == WhenStuck::Hold };
        let patience = Patience {
            confirm: args.relay_confirm_timeout,
            stop: stop.clone(),
            drain: config.process.shutdown_grace / 2,
            broker: broker.clone(),
        };
        Self {
            topology: Topology::new(args),
            stop,
            health: health.clone(),
            database: Link::new(health.dependency("postgresql", Need::Required)),
            broker: Link::new(broker),
            lanes: Lanes::default(),
            lookout: Lookout::new(args, holding),
            queue: Queue::new(ordered),
            backlog: Backlog::default(),
            tasks: JoinSet::new(),
            flight: Flight::new(args, patience),
            settling: Settling::new(&config),
            is_catching_up: false,
            config,
        }
    }

    /// Takes up what has ended, and begins what can begin. Waits for the database's answers, but never for the broker's
    /// or for anything to become due.
    ///
    /// To be awaited to its end: a turn that is dropped on its way leaves events taken that nobody sends.
    pub async fn run_once(&mut self) -> Outcome {
        let settled = self.take_up();
        self.notice_losses();
        if self.database.get().is_none() {
            // On the heap: it is large, and seldom needed.
            Box::pin(self.connect_database()).await;
        }
        if let Some(database) = self.database.get() {
            self.settling.begin(database, &mut self.tasks);
        }
        let outcome = match self.turn().await {
            Ok(outcome) => outcome,
            Err(error) => {
                self.lose_database(&error.to_string());
                Outcome::Unavailable
            }
        };
        if self.broker.get().is_none() {
            // After the turn, in which the lanes were left to relays that reach it: it may take long to tell that it is away.
            Box::pin(self.connect_broker()).await;
        }
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
    }

    async fn connect_database(&mut self) {
        self.database.open(Database::connect(&self.config), &self.stop).await;
    }

    async fn connect_broker(&mut self) {
        let channels = self.config.relay.relay_channels;
        let broker = Broker::connect(self.config.broker.url(), self.topology.clone(), channels);
        self.broker.open(broker, &self.stop).await;
    }

    /// The session is gone, and the lanes with it. What is in flight may still be settled.
    fn lose_database(&mut self, reason: &str) {
        self.database.failed(reason);
        self.flight.lose_lanes();
        self.lanes = Lanes::default();
        self.queue.keep(LaneSet::default());
        self.lookout.forget();
        self.is_catching_up = true;
    }
}
