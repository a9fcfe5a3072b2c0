//! A session of collecting: stores batch after batch from one subscription.
//!
//! What a crash leaves, and what the next session does with it:
//!
//! | crash | rows | messages | next session |
//! |---|---|---|---|
//! | before a batch is committed | none | delivered again | makes the rows |
//! | after that | the batch's, above `acknowledged_up_to` | delivered again | finds each row by its identity |
//! | after the release is committed | the batch's | acknowledged, or delivered again if that was lost | in doubt: makes second rows |
//!
//! A batch is released and acknowledged as soon as it is committed. The release is no more than a
//! round trip to the database, without a flush of its log.

mod batches;
mod refusals;

use std::time::Duration;

use service_kit::health::Health;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Collected;
use super::depth::DepthProbe;
use super::held::Held;
use super::message::{DeadLetter, Reading};
use super::metrics::QueueMetrics;
use super::store::{Store, StoreError};
use super::subscription::Subscription;

/// Bytes of messages that one transaction stores; the last one may exceed it.
const BATCH_BYTES: usize = 8 << 20;

/// How often the database is probed while no messages arrive.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// How long the queue must be quiet to count as collected.
const QUIET_TIME: Duration = Duration::from_millis(200);

/// How long the broker may take to requeue what an earlier session had not acknowledged.
const REQUEUE_TIME: Duration = Duration::from_secs(10);

/// How long the broker may deliver nothing although messages wait in the queue.
const STARVED_AFTER: Duration = Duration::from_secs(15);

/// When a session ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// When all that was in the queue at the start is collected.
    Collected,
    /// When it is told to.
    Stopped,
}

/// Why a session ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interruption {
    Database(String),
    Broker(String),
}

impl From<StoreError> for Interruption {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(reason) | StoreError::Unavailable(reason) => Self::Database(reason),
        }
    }
}

/// What became of messages that were to be stored in one transaction.
enum PartOutcome {
    Stored,
    /// The database refuses at least one of them, for this reason.
    Refused(String),
}

/// A session of collecting.
pub(super) struct CollectorSession<'a> {
    store: Store,
    subscription: Subscription,
    depth: DepthProbe,
    reading: &'a Reading,
    metrics: QueueMetrics,
    prefetch: u16,
    begun: Instant,
    /// Whether all that was stored is acknowledged.
    is_acknowledged: bool,
    /// The latest delivery that was released.
    released: u64,
    /// Messages that the database refuses.
    held: Held,
    /// What has arrived and is to be stored, in parts, the last one first.
    pending: Vec<Vec<DeadLetter>>,
    /// Messages that were not stored because the database can't store any.
    unstored: Vec<DeadLetter>,
    /// An upper bound of the deliveries still to come of what was in the queue at the start.
    left: u64,
    /// Whether earlier sessions are forgotten.
    has_forgotten: bool,
    /// When the latest messages arrived.
    arrived: Instant,
    /// What was done so far.
    pub(super) collected: Collected,
}

impl<'a> CollectorSession<'a> {
    /// A session that has begun, with the only subscription to the queue, in which so many messages
    /// are `waiting`. Those that are on their way back are not counted, and are no more than the
    /// prefetch.
    pub(super) fn new(
        store: Store,
        subscription: Subscription,
        depth: DepthProbe,
        reading: &'a Reading,
        prefetch: u16,
        waiting: u32,
    ) -> Self {
        Self {
            store,
            subscription,
            depth,
            reading,
            metrics: QueueMetrics::of(reading.queue()),
            prefetch,
            begun: Instant::now(),
            is_acknowledged: true,
            released: 0,
            held: Held::new(prefetch),
            pending: Vec::new(),
            unstored: Vec::new(),
            left: u64::from(waiting) + u64::from(prefetch),
            has_forgotten: false,
            arrived: Instant::now(),
            collected: Collected::default(),
        }
    }

    /// Stores batches until `stop` or the end that `until` says. Call [`close`](Self::close) after.
    ///
    /// # Errors
    /// Why the session has to end.
    pub(super) async fn run(
        &mut self,
        until: Until,
        stop: &CancellationToken,
        health: &Health,
    ) -> Result<(), Interruption> {
        let wait = if until == Until::Collected { QUIET_TIME } else { PROBE_INTERVAL };
        while !stop.is_cancelled() {
            // A quarter, so that the broker sends the next ones while these are stored.
            let most = usize::from(self.prefetch).div_ceil(4);
            let receives = self.pending.is_empty() && !self.held.is_full();
            let arrived = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.store.closed() => {
                    return Err(Interruption::Database("the database closed the connection".to_owned()));
                }
                reason = self.subscription.closed(), if !receives => {
                    return Err(Interruption::Broker(reason));
                }
                arrived = self.subscription.receive(most, BATCH_BYTES), if receives => {
                    arrived.map_err(Interruption::Broker)?
                }
                () = sleep(wait) => Vec::new(),
            };
            if arrived.is_empty() {
                if self.is_idle_over(until).await? {
                    break;
                }
            } else {
                self.arrived = Instant::now();
                self.left = self.left.saturating_sub(arrived.len() as u64);
                let batch = arrived.into_iter().map(|delivery| self.reading.read(delivery));
                self.pending.push(batch.collect());
            }
            self.retry_held().await?;
            self.store_pending(stop).await?;
            self.note_refused(health);
            if until == Until::Collected && self.is_collected() {
                break;
            }
        }
        Ok(())
    }

    /// Returns true if everything that was in the queue was received, or nothing more can be.
    fn is_collected(&mut self) -> bool {
        self.collected.is_incomplete = self.held.is_full();
        self.held.is_full() || (self.left == 0 && self.pending.is_empty())
    }

    /// Closes the subscription. After an orderly end nothing is left to be recognised.
    pub(super) async fn close(self) {
        self.depth.close().await;
        self.subscription.close().await;
        if self.is_acknowledged {
            self.store.end().await;
        }
    }

    /// Returns the messages that could not be stored, if that is why the session ended.
    pub(super) fn take_unstored(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.unstored)
    }

    /// Checks queue and database when nothing has arrived. Returns true if everything that was in
    /// the queue is collected.
    async fn is_idle_over(&mut self, until: Until) -> Result<bool, Interruption> {
        self.store.probe().await.map_err(Interruption::Database)?;
        if until == Until::Stopped && self.has_forgotten {
            return Ok(false);
        }
        let waiting = self.depth.measure().await;
        let is_starved = self.arrived.elapsed() >= STARVED_AFTER;
        let is_all_here = !self.subscription.is_receiving() && self.pending.is_empty();
        if waiting == Ok(0) && is_all_here && (is_starved || !self.is_owed()) {
            return Ok(self.forget_sessions().await? && until == Until::Collected);
        }
        if until == Until::Collected && is_starved {
            return Err(Interruption::Broker(starved(waiting)));
        }
        Ok(false)
    }

    /// Returns true while fewer messages have arrived than were ready at the start: RabbitMQ counts
    /// a message as delivered before it has read it from its disk, which takes seconds where
    /// messages are large. Those that expired, or that somebody else took, never arrive.
    fn is_owed(&self) -> bool {
        self.left > u64::from(self.prefetch)
    }

    /// Forgets earlier sessions when the queue is empty: none of their messages will be delivered
    /// again, unless the broker has yet to requeue them. Returns true if they are forgotten.
    async fn forget_sessions(&mut self) -> Result<bool, Interruption> {
        let is_certain = self.has_forgotten || self.begun.elapsed() >= REQUEUE_TIME;
        if !is_certain && self.store.has_earlier_sessions().await? {
            return Ok(false);
        }
        if !self.has_forgotten {
            self.store.forget_sessions().await?;
            self.has_forgotten = true;
        }
        Ok(true)
    }
}

/// Describes a queue that delivers nothing although messages wait.
fn starved(waiting: Result<u32, String>) -> String {
    match waiting {
        Ok(0) => "a message arrives in part and does not go on".to_owned(),
        Ok(waiting) => format!(
            "{waiting} messages wait in the queue and are not delivered: does another consumer have the queue to itself (x-single-active-consumer)?"
        ),
        Err(reason) => reason,
    }
}
