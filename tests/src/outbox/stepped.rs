//! A relay in the test's process that the test steps.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::ensure;
use outbox_relay::{Relay, TickOutcome};
use service_kit::health::Health;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;

/// A relay that runs one step at a time.
#[derive(Debug)]
pub struct Stepped {
    /// The relay.
    pub relay: Relay,
    /// Cancelled to stop it.
    pub stop: CancellationToken,
    /// Its health.
    pub health: Health,
}

impl Stepped {
    /// Steps until a step returns `outcome`.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until(&mut self, outcome: TickOutcome) -> anyhow::Result<()> {
        self.until_within(PATIENCE, outcome).await
    }

    async fn until_within(&mut self, limit: Duration, outcome: TickOutcome) -> anyhow::Result<()> {
        let end = Instant::now() + limit;
        loop {
            // On the heap: the future of a step holds a whole batch.
            let now = Box::pin(self.relay.tick()).await;
            if now == outcome {
                return Ok(());
            }
            ensure!(
                Instant::now() < end,
                "the relay is {now:?}, not {outcome:?}: {:?}",
                self.health.statuses()
            );
            if now != TickOutcome::Worked {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Steps, as a running relay does, until `done` completes. A step that has begun is completed
    /// first: cancelling it would lose what it took.
    pub async fn work_until<T>(&mut self, done: impl Future<Output = T>) -> T {
        let is_done = Cell::new(false);
        let watch = async {
            let result = done.await;
            is_done.set(true);
            result
        };
        let work = async {
            while !is_done.get() {
                if Box::pin(self.relay.tick()).await != TickOutcome::Worked {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        };
        tokio::join!(watch, work).0
    }

    /// Steps until everything due is published.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_idle(&mut self) -> anyhow::Result<()> {
        self.until(TickOutcome::Idle).await
    }

    /// The same for work that takes an unoptimised relay minutes.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_much_is_done(&mut self) -> anyhow::Result<()> {
        self.until_within(5 * PATIENCE, TickOutcome::Idle).await
    }
}
