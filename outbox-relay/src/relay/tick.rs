//! What the relay begins in one turn: its lanes, a look into the table, the next windows.

use std::time::Instant;

use service_kit::health::Health;

use super::{Outcome, Relay};
use crate::database::DatabaseError;
use crate::database::queries;
use crate::lanes;
use crate::metrics;
use crate::poll::{ScanOutcome, poll};
use crate::settle::schedule::Settling;

impl Relay {
    pub(super) async fn turn(&mut self) -> Result<Outcome, DatabaseError> {
        let busy = self.engine.queue.busy();
        let Some(database) = self.database.get() else {
            return Ok(
                self.stands("can't publish: the database can't be reached", Outcome::Unavailable)
            );
        };
        database.tell(self.broker.trouble()).await?;
        self.acknowledgements.look(database, &mut self.engine.dispatcher).await?;
        let Some(broker) = self.broker.get() else {
            // Another relay may be able to reach the broker.
            self.engine.lost_broker(Instant::now());
            lanes::release_all(&mut self.engine.lanes, database, busy).await?;
            self.works();
            return Ok(
                self.stands("can't publish: the broker can't be reached", Outcome::Unavailable)
            );
        };
        let is_blocked = broker.is_blocked();
        let taken = lanes::share(&mut self.engine.lanes, database).await?;
        if !taken.is_empty() {
            // Before the first scan, so that nothing is sent again that is known to be published.
            let unsettled = queries::load_unsettled(database, taken).await?;
            self.engine.took_lanes(taken, unsettled, Instant::now());
        }
        if self.engine.lanes.is_leaving() {
            self.engine.offered_lanes();
            lanes::release_idle(&mut self.engine.lanes, database, busy).await?;
        }
        if is_blocked {
            // It may be for long, and people may change what was loaded.
            self.engine.dispatcher.forget_ahead();
            self.works();
            return Ok(Outcome::Unavailable);
        }
        if self.engine.lanes.open().is_empty() {
            self.works();
            return Ok(self.stands("standing by: other relays own all lanes", Outcome::StandingBy));
        }
        tell_unsettled(&self.health, &self.engine.settling);
        // Before anything else is taken, so that nothing is sent again whose outcome is known.
        let is_catching_up = self.engine.is_catching_up();
        if let Some(trouble) = self.engine.settling.trouble() {
            self.database.hindered(&trouble);
            return Ok(self.stands("can't publish: outcomes can't be noted", Outcome::Unavailable));
        }
        if is_catching_up {
            self.works();
            return Ok(Outcome::Unavailable);
        }
        let lanes = self.engine.lanes.open().len();
        metrics::lanes(lanes);
        self.health.note("relay", format!("publishing, {lanes} of 64 lanes"));
        let begun = Instant::now();
        let polled = match poll(&mut self.engine, database).await {
            Err(error) if error.is_given_up() => return Ok(self.give_up_looking(&error)),
            polled => polled?,
        };
        metrics::polled(begun.elapsed());
        if polled == ScanOutcome::Replaced {
            self.engine.table_was_replaced(Instant::now());
        }
        self.works();
        if let (Some(database), Some(broker)) = (self.database.get(), self.broker.get()) {
            self.sender.send(&mut self.engine, database, broker, &mut self.tasks).await?;
        }
        if self.engine.is_idle() && polled == ScanOutcome::Nothing {
            self.broker.works();
            return Ok(Outcome::Idle);
        }
        Ok(Outcome::Busy)
    }

    /// The session and its lanes are as good as before; what was to be looked at is looked at anew.
    fn give_up_looking(&mut self, error: &DatabaseError) -> Outcome {
        self.engine.gave_up_scanning(Instant::now());
        self.database.hindered(&error.to_string());
        Outcome::Unavailable
    }

    fn works(&mut self) {
        if self.engine.settling.trouble().is_none() {
            self.database.works();
        }
    }

    fn stands(&self, note: &str, outcome: Outcome) -> Outcome {
        metrics::lanes(0);
        self.health.note("relay", note);
        outcome
    }
}

/// Tells people of events that can't be settled.
fn tell_unsettled(health: &Health, settling: &Settling) {
    match settling.unsettled.note() {
        Some(note) => health.note("unsettled", note),
        None => health.forget_note("unsettled"),
    }
}
