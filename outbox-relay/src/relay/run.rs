//! The loop that repeats the relay's turn, and how it ends.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Outcome, Relay};
use crate::database::Database;

/// Repeats the turn until told to stop.
pub(crate) async fn run(mut relay: Relay) {
    let stop = relay.stop.clone();
    while !stop.is_cancelled() {
        let outcome = relay.run_once().await;
        relay.pause(outcome, &stop).await;
    }
    let limit = relay.config.process.shutdown_grace / 4;
    Box::pin(relay.close(limit)).await;
}

impl Relay {
    /// Waits until something has ended or is due.
    async fn pause(&mut self, outcome: Outcome, stop: &CancellationToken) {
        let next = match outcome {
            Outcome::Worked => return,
            Outcome::Busy | Outcome::Idle => {
                let look = self.lookout.next(&self.queue);
                let watch = self.lanes.next_watch().unwrap_or(look);
                let settle = self.settling.due().unwrap_or(look);
                look.min(watch).min(settle)
            }
            Outcome::StandingBy | Outcome::Unavailable => {
                Instant::now() + self.config.relay.relay_poll_max
            }
        };
        tokio::select! {
            () = stop.cancelled() => (),
            () = tokio::time::sleep_until(next.into()) => (),
            Some(done) = self.tasks.join_next() => {
                self.take_up_one(done);
            }
        }
    }

    /// Awaits what is in flight, notes what is known, within `limit`, and closes the connections.
    pub async fn close(mut self, limit: Duration) {
        // A window waits no longer than its patience allows.
        while let Some(done) = self.tasks.join_next().await {
            self.take_up_one(done);
        }
        let settled = tokio::time::timeout(limit, async {
            while !self.settling.is_done() {
                // The token is cancelled: a fresh one lets the database be reached once more.
                let go_on = CancellationToken::new();
                self.database.open(Database::connect(&self.config), &go_on).await;
                if let Some(database) = self.database.get() {
                    self.settling.begin(database, &mut self.tasks);
                }
                while let Some(done) = self.tasks.join_next().await {
                    self.take_up_one(done);
                }
                if !self.settling.is_done() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
        if settled.await.is_err() {
            tracing::warn!(
                events = self.settling.len(),
                "the outcome of the last windows could not be noted: what was published will be published again"
            );
        }
        // The lanes are free as soon as the session is closed.
        drop(self.database.take());
        if let Some(broker) = self.broker.take() {
            broker.close().await;
        }
    }
}
