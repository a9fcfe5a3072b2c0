//! The loop that repeats the relay's tick, and how it ends.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{Relay, TickOutcome};

/// How often to check, while nothing can be published, what sends no signal: a broker that takes
/// messages again, another relay's lanes. Not `RELAY_POLL_MAX`, which may be long and is about
/// scans for new events alone.
const RECHECK: Duration = Duration::from_millis(100);

/// Repeats the tick until told to stop, and then closes the relay.
pub(crate) async fn run(mut relay: Relay) {
    let stop = relay.stop.clone();
    while !stop.is_cancelled() {
        let outcome = relay.tick().await;
        relay.pause(outcome, &stop).await;
    }
    let limit = relay.config.process.shutdown_grace / 4;
    Box::pin(relay.close(limit)).await;
}

impl Relay {
    /// Waits until something has ended or is due.
    async fn pause(&mut self, outcome: TickOutcome, stop: &CancellationToken) {
        let scan = match outcome {
            TickOutcome::Worked => return,
            TickOutcome::Busy | TickOutcome::Idle => {
                self.engine.scanner.due_at(&self.engine.queue, Instant::now())
            }
            TickOutcome::StandingBy | TickOutcome::Unavailable => Instant::now() + RECHECK,
        };
        let others = [
            self.engine.lanes.next_list(),
            self.engine.settling.due(),
            self.database.due(),
            self.broker.due(),
        ];
        let next = others.into_iter().flatten().fold(scan, Instant::min);
        tokio::select! {
            () = stop.cancelled() => (),
            () = tokio::time::sleep_until(next.into()) => (),
            () = self.database.connected() => (),
            () = self.broker.connected() => (),
            event_refs = self.inspector.found() => self.engine.add_suspects(&event_refs),
            Some(done) = self.tasks.join_next() => {
                self.handle_completion(done);
            }
        }
    }

    /// Awaits what is in flight, settles what is known, within `limit`, and closes the connections.
    pub async fn close(mut self, limit: Duration) {
        // A window waits no longer than its deadlines allow.
        while let Some(done) = self.tasks.join_next().await {
            self.handle_completion(done);
        }
        let settled = tokio::time::timeout(limit, async {
            while !self.engine.settling.is_done() {
                if self.database.get().is_some_and(|database| database.settle.session.is_closed()) {
                    drop(self.database.take());
                }
                self.connect_database();
                self.begin_settling();
                while let Some(done) = self.tasks.join_next().await {
                    self.handle_completion(done);
                }
                if !self.engine.settling.is_done() {
                    tokio::select! {
                        () = self.database.connected() => (),
                        () = tokio::time::sleep(Duration::from_millis(50)) => (),
                    }
                }
            }
        });
        if settled.await.is_err() {
            tracing::warn!(
                events = self.engine.settling.len(),
                "the last windows could not be settled: what was published will be published again"
            );
        }
        // The lanes are free as soon as the session is closed.
        drop(self.database.take());
        if let Some(broker) = self.broker.take() {
            broker.close().await;
        }
    }
}
