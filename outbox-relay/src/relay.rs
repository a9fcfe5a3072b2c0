//! One step of the relay, and the loop that repeats it.

use std::time::{Duration, Instant};

use service_kit::health::{Health, Need};
use tokio_util::sync::CancellationToken;

use crate::backlog::Backlog;
use crate::broker::Broker;
use crate::claim::{Event, claim};
use crate::config::Config;
use crate::database::{Database, DatabaseError};
use crate::link::Link;
use crate::lock;
use crate::measure;
use crate::message::Form;
use crate::publish::publish;
use crate::settle::{Settlement, settle};
use crate::topology::Topology;
use crate::window::{BLOCKED, Patience};

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Events were published or failed; there may be more.
    Worked,
    /// Nothing is due.
    Idle,
    /// Another relay publishes.
    StandingBy,
    /// The database or the broker can't be used for now.
    Unavailable,
}

/// A relay with its two connections.
#[derive(Debug)]
pub struct Relay {
    config: Config,
    form: Form,
    topology: Topology,
    patience: Patience,
    stop: CancellationToken,
    health: Health,
    database: Link<Database>,
    broker: Link<Broker>,
    backlog: Backlog,
    /// What is known of events and could not be noted yet, as the database was lost; at most one batch.
    unsettled: Settlement,
    /// What changed no row when it was noted: if an event of it is claimed again, it must not be sent again.
    unmoved: Settlement,
}

impl Relay {
    /// A relay that is not connected yet. It begins no further round once `stop` is cancelled.
    #[must_use]
    pub fn new(config: Config, health: &Health, stop: CancellationToken) -> Self {
        measure::describe();
        let broker = health.dependency("rabbitmq", Need::Required);
        Self {
            form: Form::new(&config.relay),
            topology: Topology::new(&config.relay),
            patience: Patience {
                confirm: config.relay.relay_confirm_timeout,
                stop: stop.clone(),
                drain: config.process.shutdown_grace / 2,
                broker: broker.clone(),
            },
            stop,
            health: health.clone(),
            database: Link::new(health.dependency("postgresql", Need::Required)),
            broker: Link::new(broker),
            backlog: Backlog::default(),
            unsettled: Settlement::default(),
            unmoved: Settlement::default(),
            config,
        }
    }

    /// Publishes and settles one batch, as far as the two servers allow. Never waits for anything to become due.
    pub async fn run_once(&mut self) -> Outcome {
        self.connect().await;
        match self.step().await {
            Ok(outcome) => outcome,
            // The session is as good as any other, and holds the lock that keeps other relays from sending it all again.
            Err(error @ DatabaseError::Unmoved) => {
                self.database.hindered(&error.to_string());
                Outcome::Unavailable
            }
            Err(error) => {
                self.database.failed(&error.to_string());
                Outcome::Unavailable
            }
        }
    }

    async fn connect(&mut self) {
        if self.database.get().is_some_and(|database| database.is_closed()) {
            self.database.lost("the server closed the connection");
        }
        if self.broker.get().is_some_and(|broker| !broker.is_open()) {
            self.broker.lost("the broker closed the connection");
        }
        tokio::join!(
            self.database.open(Database::connect(self.config.database.url()), &self.stop),
            self.broker
                .open(Broker::connect(self.config.broker.url(), self.topology.clone()), &self.stop),
        );
    }

    async fn step(&mut self) -> Result<Outcome, DatabaseError> {
        let Some(database) = self.database.get() else {
            return Ok(
                self.stands("can't publish: the database can't be reached", Outcome::Unavailable)
            );
        };
        // Before anything else is taken, so that nothing is sent again whose outcome is known.
        self.unmoved.append(settle(database, &mut self.unsettled).await?);
        let Some(broker) = self.broker.get() else {
            // Another relay may be able to reach the broker.
            lock::release(database).await?;
            self.database.works();
            return Ok(
                self.stands("can't publish: the broker can't be reached", Outcome::Unavailable)
            );
        };
        if broker.is_blocked() {
            self.broker.hindered(BLOCKED);
            self.database.works();
            return Ok(Outcome::Unavailable);
        }
        if !lock::take(database).await? {
            self.unmoved = Settlement::default();
            self.database.works();
            return Ok(self.stands("standing by: another relay publishes", Outcome::StandingBy));
        }
        measure::publishing(true);
        self.health.note("relay", "publishing");
        self.backlog.measure(database).await?;
        let begun = Instant::now();
        let events = claim(database, self.config.relay.relay_batch).await?;
        measure::polled(begun.elapsed(), &events);
        let mut unmoved = std::mem::take(&mut self.unmoved);
        unmoved.retain(&events);
        if !unmoved.is_empty() {
            // To be noted again after a pause, and not to be sent again meanwhile.
            self.unsettled = unmoved;
            return Err(DatabaseError::Unmoved);
        }
        self.database.works();
        if events.is_empty() {
            self.broker.works();
            return Ok(Outcome::Idle);
        }
        self.relay(&events).await
    }

    /// Publishes `events` and settles them. No transaction is open meanwhile.
    async fn relay(&mut self, events: &[Event]) -> Result<Outcome, DatabaseError> {
        let (Some(database), Some(broker)) = (self.database.get(), self.broker.get()) else {
            return Ok(Outcome::Unavailable);
        };
        let stop = &self.stop;
        // A session that is gone has lost the lock: no further round is begun under it.
        let go_on = || !stop.is_cancelled() && !database.is_closed();
        let published = publish(broker, &self.form, events, &self.patience, go_on).await;
        measure::decided(events, &published.verdicts);
        self.unsettled = Settlement::of(events, &published.verdicts, &self.config.relay);
        match published.lost {
            Some(reason) => self.broker.lost(&reason),
            None => self.broker.works(),
        }
        let outcome =
            if self.unsettled.is_empty() { Outcome::Unavailable } else { Outcome::Worked };
        let begun = Instant::now();
        self.unmoved = settle(database, &mut self.unsettled).await?;
        measure::settled(begun.elapsed());
        Ok(outcome)
    }

    fn stands(&self, note: &str, outcome: Outcome) -> Outcome {
        measure::publishing(false);
        self.health.note("relay", note);
        outcome
    }

    /// Notes what is known, within `limit`, and closes both connections.
    pub async fn close(mut self, limit: Duration) {
        let settled = tokio::time::timeout(limit, async {
            while !self.unsettled.is_empty() {
                // The token is cancelled: a fresh one lets the database be reached once more.
                let go_on = CancellationToken::new();
                let url = self.config.database.url();
                self.database.open(Database::connect(url), &go_on).await;
                if let Some(database) = self.database.get()
                    && let Err(error) = settle(database, &mut self.unsettled).await
                {
                    self.database.lost(&error.to_string());
                }
                if !self.unsettled.is_empty() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
        if settled.await.is_err() {
            tracing::warn!(
                events = self.unsettled.len(),
                "the outcome of the last batch could not be noted: what was published will be published again"
            );
        }
        if let Some(broker) = self.broker.take() {
            broker.close().await;
        }
    }
}

/// Repeats the step until told to stop.
pub(crate) async fn run(mut relay: Relay) {
    let stop = relay.stop.clone();
    let (shortest, longest) =
        (relay.config.relay.relay_poll_min, relay.config.relay.relay_poll_max);
    let mut idle_wait = shortest;
    while !stop.is_cancelled() {
        let wait = match relay.run_once().await {
            Outcome::Worked => {
                idle_wait = shortest;
                continue;
            }
            Outcome::Idle => {
                let wait = idle_wait;
                idle_wait = (wait * 2).min(longest);
                wait
            }
            Outcome::StandingBy | Outcome::Unavailable => longest,
        };
        tokio::select! {
            () = stop.cancelled() => (),
            () = tokio::time::sleep(wait) => (),
        }
    }
    let limit = relay.config.process.shutdown_grace / 4;
    relay.close(limit).await;
}
