//! The relay: what happens in one turn. The loop that repeats it is in `relay/run.rs`.

mod run;

use std::time::Instant;

use service_kit::health::{Health, Need};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backlog::Backlog;
use crate::broker::Broker;
use crate::config::{Config, Ordering, WhenStuck};
use crate::database::{Database, DatabaseError};
use crate::flight::Flight;
use crate::lanes::{LaneSet, Lanes, lane};
use crate::link::Link;
use crate::lookout::Lookout;
use crate::measure;
use crate::publish::Published;
use crate::queries::Holding;
use crate::queue::{Place, Queue};
use crate::settle::{Failed, Settled};
use crate::settling::Settling;
use crate::topology::Topology;
use crate::verdict::Verdict;
use crate::window::{BLOCKED, Patience};

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
        if self.broker.get().is_some_and(|broker| !broker.is_open()) {
            self.broker.lost("the broker closed the connection");
        }
    }

    async fn connect_database(&mut self) {
        let url = self.config.database.url();
        let database = Database::connect(url, &self.config.outbox.outbox_table);
        self.database.open(database, &self.stop).await;
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

    /// Takes up what has ended meanwhile. Says whether the outcome of events was noted.
    fn take_up(&mut self) -> bool {
        let mut settled = false;
        while let Some(done) = self.tasks.try_join_next() {
            settled |= self.take_up_one(done);
        }
        settled
    }

    fn take_up_one(&mut self, done: Result<Done, tokio::task::JoinError>) -> bool {
        match done {
            Ok(Done::Published(published)) => {
                self.published(published);
                false
            }
            Ok(Done::Settled(settled)) => self.settled(settled),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn published(&mut self, published: Published) {
        let Published { publisher, events, verdicts, unsent, lost } = published;
        measure::decided(&events, &verdicts);
        if let (Some(last), false) = (events.last(), unsent.is_empty()) {
            for event in &unsent {
                self.flight.landed(event);
            }
            let unsent: Vec<Place> = unsent.iter().map(|event| event.place).collect();
            let kept = self.lanes.open().has(lane(last.place.key));
            self.queue.broke_off(&last.place, &unsent, kept);
        }
        for (event, verdict) in events.iter().zip(&verdicts) {
            self.flight.landed(event);
            match verdict {
                Verdict::Published => {
                    self.queue.published(&event.place);
                    self.settling.waiting().published(event);
                }
                Verdict::Failed(_) | Verdict::Impossible(_) => {
                    let args = &self.config.relay;
                    let failed = self.settling.waiting().failed(event, verdict, args);
                    let skips = args.relay_when_stuck == WhenStuck::Skip;
                    if failed == Failed::Stuck && skips {
                        self.queue.published(&event.place);
                    } else {
                        self.queue.failed(&event.place);
                    }
                    // What waits behind it may wait for long, and be changed by people meanwhile.
                    self.flight.forget_ahead();
                }
                Verdict::Unknown if self.lanes.open().has(lane(event.place.key)) => {
                    self.queue.put_back(event.place);
                }
                Verdict::Unknown => self.queue.let_go(&event.place),
            }
        }
        // What ends after the connection was lost says nothing of the one that has taken its place.
        let Some(broker) = self.broker.get().filter(|broker| broker.owns(&publisher)) else {
            return;
        };
        if let Some(reason) = lost {
            self.broker.lost(&reason);
        } else {
            broker.give_back(publisher);
            self.broker.works();
        }
    }

    /// Says whether the outcome of events was noted.
    fn settled(&mut self, mut settled: Settled) -> bool {
        self.settling.ended(&mut settled);
        for place in &settled.places {
            self.queue.settled(place);
        }
        if settled.freed {
            self.lookout.start_over();
        }
        match settled.result {
            Ok(()) => (),
            // The session is as good as any other. What it did not note is not sent again meanwhile.
            Err(error @ DatabaseError::Unmoved) => self.database.hindered(&error.to_string()),
            Err(error) => self.lose_database(&error.to_string()),
        }
        !settled.places.is_empty()
    }

    async fn turn(&mut self) -> Result<Outcome, DatabaseError> {
        let busy = self.queue.busy();
        let Some(database) = self.database.get() else {
            return Ok(
                self.stands("can't publish: the database can't be reached", Outcome::Unavailable)
            );
        };
        database.tell(self.broker.trouble()).await?;
        let Some(broker) = self.broker.get() else {
            // Another relay may be able to reach the broker.
            self.queue.keep(LaneSet::default());
            self.flight.forget_ahead();
            self.lanes.leave(database, busy).await?;
            self.lookout.forget();
            self.works();
            return Ok(
                self.stands("can't publish: the broker can't be reached", Outcome::Unavailable)
            );
        };
        let is_blocked = broker.is_blocked();
        let taken = self.lanes.share(database).await?;
        if !taken.is_empty() {
            self.queue.resume(taken);
            self.lookout.start_over();
        }
        if self.lanes.is_leaving() {
            self.queue.keep(self.lanes.open());
            self.flight.forget_ahead();
            self.lanes.hand_over(database, busy).await?;
        }
        if is_blocked {
            self.broker.hindered(BLOCKED);
            self.works();
            return Ok(Outcome::Unavailable);
        }
        if self.lanes.open().is_empty() {
            self.works();
            return Ok(self.stands("standing by: other relays own all lanes", Outcome::StandingBy));
        }
        // Before anything else is taken, so that nothing is sent again whose outcome is known.
        self.is_catching_up &= !self.settling.is_done();
        if self.settling.is_stuck() || self.is_catching_up {
            self.works();
            return Ok(Outcome::Unavailable);
        }
        let lanes = self.lanes.open().len();
        measure::lanes(lanes);
        self.health.note("relay", format!("publishing, {lanes} of 64 lanes"));
        self.backlog.measure(database).await?;
        let begun = Instant::now();
        let is_all = self.lookout.look(database, self.lanes.open(), &mut self.queue).await?;
        measure::polled(begun.elapsed());
        self.works();
        if let (Some(database), Some(broker)) = (self.database.get(), self.broker.get()) {
            self.flight.begin(&mut self.queue, database, broker, &mut self.tasks).await?;
        }
        if self.queue.is_empty() && self.settling.is_done() && is_all {
            self.broker.works();
            return Ok(Outcome::Idle);
        }
        Ok(Outcome::Busy)
    }

    fn works(&mut self) {
        if !self.settling.fails() {
            self.database.works();
        }
    }

    fn stands(&self, note: &str, outcome: Outcome) -> Outcome {
        measure::lanes(0);
        self.health.note("relay", note);
        outcome
    }
}
