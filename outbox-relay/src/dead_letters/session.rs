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

mod refusals;

use std::time::Duration;

use service_kit::health::Health;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Collected;
use super::held::Held;
use super::message::{DeadLetter, Reading};
use super::metrics;
use super::store::{Store, StoreError};
use super::subscription::Subscription;

/// Bytes of messages that one transaction stores; the last one may exceed it.
const BATCH_BYTES: usize = 8 << 20;

/// How often the database is probed while no messages arrive, and the depth of the queue measured.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// How long no message must arrive before the queue counts as collected.
const QUIET_TIME: Duration = Duration::from_millis(200);

/// How long the broker may take to requeue what an earlier session had not acknowledged.
const REQUEUE_TIME: Duration = Duration::from_secs(10);

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
    reading: &'a Reading,
    prefetch: u16,
    begun: Instant,
    /// Whether all that was stored is acknowledged.
    is_acknowledged: bool,
    /// The latest delivery that was released.
    released: u64,
    /// Messages that the database refuses.
    held: Held,
    /// A message that the database could not store, as it can't store any.
    unstored: Option<DeadLetter>,
    /// At most how many deliveries may still come of what was in the queue at the start.
    left: u64,
    /// Whether earlier sessions are forgotten.
    has_forgotten: bool,
    /// When the depth of the queue was measured last.
    measured: Option<Instant>,
    /// What was done so far.
    pub(super) collected: Collected,
}

impl<'a> CollectorSession<'a> {
    /// A session that has begun, with the only subscription to the queue, in which so many messages
    /// are `waiting`. Those that are on the way are not counted, and are no more than the prefetch.
    pub(super) fn new(
        store: Store,
        subscription: Subscription,
        reading: &'a Reading,
        prefetch: u16,
        waiting: u32,
    ) -> Self {
        Self {
            store,
            subscription,
            reading,
            prefetch,
            begun: Instant::now(),
            is_acknowledged: true,
            released: 0,
            held: Held::default(),
            unstored: None,
            left: u64::from(waiting) + u64::from(prefetch),
            has_forgotten: false,
            measured: None,
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
            let arrived = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.store.closed() => {
                    return Err(Interruption::Database("the database closed the connection".to_owned()));
                }
                arrived = self.subscription.receive(most, BATCH_BYTES), if !self.held.is_full() => {
                    arrived.map_err(Interruption::Broker)?
                }
                () = sleep(wait) => Vec::new(),
            };
            if arrived.is_empty() {
                if self.is_idle_over(until).await? {
                    break;
                }
            } else {
                self.left = self.left.saturating_sub(arrived.len() as u64);
                let batch = arrived.into_iter().map(|delivery| self.reading.read(delivery));
                let batch = batch.collect();
                self.store_all(batch).await?;
            }
            self.measure_queue().await?;
            self.retry_held().await?;
            self.note_refused(health);
            if until == Until::Collected && (self.left == 0 || self.held.is_full()) {
                break;
            }
        }
        Ok(())
    }

    /// Closes the subscription. After an orderly end nothing is left to be recognised.
    pub(super) async fn close(self) {
        self.subscription.close().await;
        if self.is_acknowledged {
            self.store.end().await;
        }
    }

    /// Returns the message that could not be stored, if that is why the session ended.
    pub(super) fn take_unstored(&mut self) -> Option<DeadLetter> {
        self.unstored.take()
    }

    /// Looks around when nothing has arrived. Returns true if all is collected that was there.
    async fn is_idle_over(&mut self, until: Until) -> Result<bool, Interruption> {
        self.store.probe().await.map_err(Interruption::Database)?;
        if until == Until::Stopped {
            return Ok(false);
        }
        let waiting = self.subscription.depth().await.map_err(Interruption::Broker)?;
        if waiting > 0 || self.subscription.is_receiving() {
            return Ok(false);
        }
        if !self.has_forgotten {
            self.store.forget_sessions().await?;
            self.has_forgotten = true;
        }
        Ok(true)
    }

    /// Measures the depth of the queue, if it is time to.
    async fn measure_queue(&mut self) -> Result<(), Interruption> {
        if self.measured.is_none_or(|measured| measured.elapsed() >= PROBE_INTERVAL) {
            self.measured = Some(Instant::now());
            metrics::queued(self.subscription.depth().await.map_err(Interruption::Broker)?);
        }
        Ok(())
    }

    /// Stores a batch. One that the database refuses is halved, until what it refuses is alone.
    async fn store_all(&mut self, batch: Vec<DeadLetter>) -> Result<(), Interruption> {
        let begun = Instant::now();
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            match self.store_part(&part).await? {
                PartOutcome::Stored => (),
                PartOutcome::Refused(_) if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                PartOutcome::Refused(reason) => {
                    if let Some(message) = part.pop() {
                        self.store_alone(message, reason).await?;
                    }
                }
            }
        }
        metrics::stored_batch(begun.elapsed());
        Ok(())
    }

    /// Stores messages in one transaction, and acknowledges them.
    async fn store_part(&mut self, part: &[DeadLetter]) -> Result<PartOutcome, Interruption> {
        let forgets = self.may_forget(part);
        let stored = match self.store.store(part, forgets).await {
            Ok(stored) => stored,
            Err(StoreError::Refused(reason)) => return Ok(PartOutcome::Refused(reason)),
            Err(StoreError::Unavailable(reason)) => {
                self.unstored = part.first().cloned();
                return Err(Interruption::Database(reason));
            }
        };
        self.has_forgotten |= forgets;
        self.collected.stored += stored.new;
        self.collected.known += stored.known;
        metrics::collected(stored.new, stored.known);
        self.acknowledge(part).await?;
        Ok(PartOutcome::Stored)
    }

    /// Notes that the messages will be acknowledged, and acknowledges them. From the note on their
    /// rows are taken for no message that is delivered again.
    async fn acknowledge(&mut self, part: &[DeadLetter]) -> Result<(), Interruption> {
        let Some(last) = part.iter().map(|message| message.tag).max() else {
            return Ok(());
        };
        self.is_acknowledged = false;
        self.released = self.released.max(last);
        self.store.release(self.released).await?;
        let acknowledged = if self.held.is_empty() {
            self.subscription.acknowledge_up_to(last).await
        } else {
            let tags: Vec<_> = part.iter().map(|message| message.tag).collect();
            self.subscription.acknowledge(&tags).await
        };
        acknowledged.map_err(Interruption::Broker)?;
        self.is_acknowledged = true;
        Ok(())
    }

    /// Whether earlier sessions can be forgotten with `part`: what they had not acknowledged is
    /// back at the head of the queue some moments after they ended, and a new message comes behind
    /// it.
    fn may_forget(&self, part: &[DeadLetter]) -> bool {
        let is_behind = self.left == 0 || part.iter().any(|message| !message.redelivered);
        !self.has_forgotten && self.begun.elapsed() >= REQUEUE_TIME && is_behind
    }
}
