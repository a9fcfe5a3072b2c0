//! The work that a tick begins: taking and releasing lanes, the scans that are due, and sending the
//! next windows.

use std::time::Instant;

use service_kit::health::Health;

use super::engine::{AwaitedOutcomes, Engine};
use super::{Relay, TickOutcome};
use crate::database::{DatabaseError, queries};
use crate::lanes;
use crate::metrics;
use crate::poll::{self, ScanOutcome};
use crate::settle::schedule::SettleScheduler;

impl Relay {
    /// Begins what can begin, except for settling, which [`tick`](Relay::tick) begins before.
    pub(super) async fn begin_work(&mut self) -> Result<TickOutcome, DatabaseError> {
        let busy = self.engine.queue.busy_lanes();
        let Some(database) = self.database.get() else {
            return Ok(self.not_publishing(
                "can't publish: the database can't be reached",
                TickOutcome::Unavailable,
            ));
        };
        database.set_session_status(self.broker.unusable_reason()).await?;
        // Before the first scan, so that nothing is sent that is paused.
        self.pauses.check(database, &mut self.engine, &self.health).await?;
        self.seen_changes.check(database, &mut self.engine, &mut self.pauses, &self.health).await?;
        let Some(broker) = self.broker.get() else {
            // Another relay may be able to reach the broker.
            self.engine.broker_lost(Instant::now());
            lanes::release_all(&mut self.engine.lanes, database, busy).await?;
            self.mark_database_healthy();
            return Ok(self.not_publishing(
                "can't publish: the broker can't be reached",
                TickOutcome::Unavailable,
            ));
        };
        let is_blocked = broker.is_blocked();
        let taken = lanes::rebalance(&mut self.engine.lanes, database).await?;
        if !taken.is_empty() {
            // Before the first scan, so that nothing is sent again that is known to be published.
            let unsettled = queries::load_unsettled(database, taken).await?;
            self.engine.lanes_taken(taken, unsettled, Instant::now());
        }
        if self.engine.lanes.has_offered() {
            self.engine.lanes_offered();
            lanes::release_idle(&mut self.engine.lanes, database, busy).await?;
        }
        if is_blocked {
            // It may last, and people may change what was prefetched.
            self.engine.dispatcher.clear_prefetched();
            self.mark_database_healthy();
            return Ok(TickOutcome::Unavailable);
        }
        if self.engine.lanes.open().is_empty() {
            self.mark_database_healthy();
            return Ok(self.not_publishing(
                "standing by: other relays own all lanes",
                TickOutcome::StandingBy,
            ));
        }
        report_unsettled(&self.health, &self.engine.settling);
        // Before any event is taken, so that none is sent again whose outcome is known.
        let awaited = self.engine.awaited_outcomes();
        if let Some(reason) = self.engine.settling.blocked_reason() {
            self.database.mark_blocked(&reason);
            return Ok(self.not_publishing(
                "can't publish: outcomes can't be noted",
                TickOutcome::Unavailable,
            ));
        }
        if awaited != AwaitedOutcomes::None {
            // After a scan that the server gave up, the next one will show whether it works.
            if awaited == AwaitedOutcomes::OfLostSession {
                self.mark_database_healthy();
            }
            return Ok(self.not_publishing(
                "can't publish yet: earlier outcomes are being written",
                TickOutcome::Unavailable,
            ));
        }
        let lanes = self.engine.lanes.open().len();
        metrics::lanes(lanes);
        self.health.note("relay", format!("publishing, {lanes} of 64 lanes"));
        let begun = Instant::now();
        self.engine.check_paused(begun);
        let pauses = self.engine.pauses().clone();
        let Engine { scanner, queue, lanes, policy, .. } = &mut self.engine;
        let lanes = lanes.open();
        let polled = match poll::poll(scanner, queue, lanes, *policy, &pauses, database).await {
            Err(error) if error.is_given_up() => return Ok(self.scan_given_up(&error)),
            polled => polled?,
        };
        metrics::polled(begun.elapsed());
        if polled == ScanOutcome::Replaced {
            self.engine.table_replaced(Instant::now());
        }
        self.mark_database_healthy();
        if let (Some(database), Some(broker)) = (self.database.get(), self.broker.get()) {
            self.sender.send(&mut self.engine, database, broker, &mut self.tasks).await?;
        }
        if self.engine.is_idle() && polled == ScanOutcome::Nothing {
            self.broker.mark_healthy();
            return Ok(TickOutcome::Idle);
        }
        Ok(TickOutcome::Busy)
    }

    /// The server gave up a scan. The session and its lanes stay; the scans start over.
    fn scan_given_up(&mut self, error: &DatabaseError) -> TickOutcome {
        self.engine.scan_failed(Instant::now());
        self.database.mark_blocked(&error.to_string());
        TickOutcome::Unavailable
    }

    /// The database works, unless nothing can be settled.
    fn mark_database_healthy(&mut self) {
        if self.engine.settling.blocked_reason().is_none() {
            self.database.mark_healthy();
        }
    }

    fn not_publishing(&self, note: &str, outcome: TickOutcome) -> TickOutcome {
        metrics::lanes(0);
        self.health.note("relay", note);
        outcome
    }
}

/// Shows on `/readyz` which events can't be settled.
fn report_unsettled(health: &Health, settling: &SettleScheduler) {
    match settling.unsettled.summary() {
        Some(note) => health.note("unsettled", note),
        None => health.forget_note("unsettled"),
    }
}
