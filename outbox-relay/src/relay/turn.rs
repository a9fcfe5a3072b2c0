//! What the relay begins in one turn: its lanes, a look into the table, the next windows.

use std::time::Instant;

use service_kit::health::Health;

use super::{Outcome, Relay, keep_lanes};
use crate::config::Config;
use crate::database::DatabaseError;
use crate::lanes::{self, LaneSet};
use crate::measure;
use crate::poll::{ScanOutcome, poll};
use crate::queries;
use crate::queue::Queue;
use crate::settling::Settling;

impl Relay {
    pub(super) async fn turn(&mut self) -> Result<Outcome, DatabaseError> {
        let busy = self.queue.busy();
        let Some(database) = self.database.get() else {
            return Ok(
                self.stands("can't publish: the database can't be reached", Outcome::Unavailable)
            );
        };
        database.tell(self.broker.trouble()).await?;
        self.acknowledgements.look(database, &mut self.dispatcher).await?;
        let Some(broker) = self.broker.get() else {
            // Another relay may be able to reach the broker.
            keep_lanes(LaneSet::default(), &mut self.queue, &mut self.settling);
            self.dispatcher.forget_ahead();
            lanes::release_all(&mut self.lanes, database, busy).await?;
            self.scanner.forget(Instant::now());
            self.works();
            return Ok(
                self.stands("can't publish: the broker can't be reached", Outcome::Unavailable)
            );
        };
        let is_blocked = broker.is_blocked();
        let taken = lanes::share(&mut self.lanes, database).await?;
        if !taken.is_empty() {
            self.queue.resume(taken);
            // Before the first look, so that nothing is sent again that is known to be published.
            let unsettled = queries::load_unsettled(database, taken).await?;
            self.settling.unsettled.add_noted(unsettled, Instant::now());
            hold_unsettled(taken, &self.config, &self.settling, &mut self.queue);
            self.scanner.start_over(Instant::now());
        }
        if self.lanes.is_leaving() {
            keep_lanes(self.lanes.open(), &mut self.queue, &mut self.settling);
            self.dispatcher.forget_ahead();
            lanes::release_idle(&mut self.lanes, database, busy).await?;
        }
        if is_blocked {
            // It may be for long, and people may change what was loaded.
            self.dispatcher.forget_ahead();
            self.works();
            return Ok(Outcome::Unavailable);
        }
        if self.lanes.open().is_empty() {
            self.works();
            return Ok(self.stands("standing by: other relays own all lanes", Outcome::StandingBy));
        }
        tell_unsettled(&self.health, &self.settling);
        // Before anything else is taken, so that nothing is sent again whose outcome is known.
        self.is_catching_up &= !self.settling.is_done();
        if let Some(trouble) = self.settling.trouble() {
            self.database.hindered(&trouble);
            return Ok(self.stands("can't publish: outcomes can't be noted", Outcome::Unavailable));
        }
        if self.is_catching_up {
            self.works();
            return Ok(Outcome::Unavailable);
        }
        let lanes = self.lanes.open().len();
        measure::lanes(lanes);
        self.health.note("relay", format!("publishing, {lanes} of 64 lanes"));
        let begun = Instant::now();
        let lanes = self.lanes.open();
        let polled = poll(&mut self.scanner, database, self.holding, lanes, &mut self.queue).await;
        let polled = match polled {
            Err(error) if error.is_given_up() => return Ok(self.give_up_looking(&error)),
            polled => polled?,
        };
        measure::polled(begun.elapsed());
        if polled == ScanOutcome::Replaced {
            self.dispatcher.forget_ahead();
            // Their rows may be the same in another file, or gone.
            hold_unsettled(self.lanes.open(), &self.config, &self.settling, &mut self.queue);
            self.settling.unsettled.hurry(Instant::now());
        }
        self.works();
        if let (Some(database), Some(broker)) = (self.database.get(), self.broker.get()) {
            let (queue, tasks) = (&mut self.queue, &mut self.tasks);
            self.sender.send(&mut self.dispatcher, queue, database, broker, tasks).await?;
        }
        if self.queue.is_empty() && self.settling.is_done() && polled == ScanOutcome::Nothing {
            self.broker.works();
            return Ok(Outcome::Idle);
        }
        Ok(Outcome::Busy)
    }

    /// The session and its lanes are as good as before; what was to be looked at is looked at anew.
    fn give_up_looking(&mut self, error: &DatabaseError) -> Outcome {
        self.queue.keep(LaneSet::default());
        self.queue.resume(self.lanes.open());
        hold_unsettled(self.lanes.open(), &self.config, &self.settling, &mut self.queue);
        self.dispatcher.forget_ahead();
        self.scanner.forget(Instant::now());
        self.database.hindered(&error.to_string());
        Outcome::Unavailable
    }

    fn works(&mut self) {
        if self.settling.trouble().is_none() {
            self.database.works();
        }
    }

    fn stands(&self, note: &str, outcome: Outcome) -> Outcome {
        measure::lanes(0);
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

/// Has the aggregates of `lanes` wait for those of their events that can't be settled.
fn hold_unsettled(lanes: LaneSet, config: &Config, settling: &Settling, queue: &mut Queue) {
    for place in settling.unsettled.held(lanes, config.stuck_holds()) {
        queue.hold(&place);
    }
}
