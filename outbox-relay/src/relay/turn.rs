//! What the relay begins in one turn: its lanes, a look into the table, the next windows.

use std::time::Instant;

use super::{Outcome, Relay};
use crate::database::DatabaseError;
use crate::lanes::LaneSet;
use crate::measure;

impl Relay {
    pub(super) async fn turn(&mut self) -> Result<Outcome, DatabaseError> {
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
