//! What becomes of the events that were sent, and when the table knows of it.

use proptest::sample::Index;

use super::table::Row;
use super::{Fate, Model, take_one};
use crate::queue::EventRef;

impl Model {
    pub(super) fn end_run(&mut self, sent: Index, last: Fate) {
        if !self.run.is_empty() {
            self.end_run_after(1 + sent.index(self.run.len()), last);
        }
    }

    pub(super) fn end_run_after(&mut self, sent: usize, last: Fate) {
        let mut run = std::mem::take(&mut self.run);
        let unsent = run.split_off(sent);
        let Some(end) = run.pop() else {
            return;
        };
        if !unsent.is_empty() {
            self.queue.run_interrupted(&end, &unsent, self.open_lanes());
        }
        for event_ref in run {
            self.check_order(&event_ref);
            self.end(event_ref, Fate::Published);
        }
        self.check_order(&end);
        self.end(end, last);
    }

    pub(super) fn end_one(&mut self, index: Index, fate: Fate) {
        if let Some(event_ref) = take_one(&mut self.in_flight, index) {
            self.end(event_ref, fate);
        }
    }

    pub(super) fn end(&mut self, event_ref: EventRef, fate: Fate) {
        match fate {
            Fate::Published => self.queue.confirmed(&event_ref),
            Fate::Failed => self.queue.failed(&event_ref),
            Fate::Stuck => {
                self.skipped.insert(event_ref.id);
                if self.stuck_holds {
                    self.queue.failed(&event_ref);
                } else {
                    self.queue.confirmed(&event_ref);
                }
            }
            Fate::Unknown if self.has(event_ref.key) && event_ref.id % 2 == 0 => {
                return self.queue.quarantine(event_ref);
            }
            Fate::Unknown if self.has(event_ref.key) => return self.queue.put_back(event_ref),
            Fate::Unknown => return self.queue.release(&event_ref),
        }
        self.unsettled.push((event_ref, fate));
    }

    pub(super) fn settle(&mut self, count: usize) {
        let count = count.min(self.unsettled.len());
        for (event_ref, fate) in self.unsettled.drain(..count).collect::<Vec<_>>() {
            let is_gone = self.write(&event_ref, fate);
            self.queue.settled(&event_ref);
            if is_gone && fate != Fate::Published {
                self.cursor = 0;
            }
        }
        self.release_idle();
    }

    /// Writes the outcome into the table. Returns whether the row was gone.
    fn write(&mut self, event_ref: &EventRef, fate: Fate) -> bool {
        let pending =
            self.rows(event_ref.key).get_mut(&event_ref.id).filter(|row| row.is_pending());
        let is_gone = pending.is_none();
        if let Some(row) = pending {
            *row = match fate {
                Fate::Published => Row::Published,
                Fate::Failed => Row::Waits,
                Fate::Stuck | Fate::Unknown => Row::Stuck,
            };
        }
        is_gone
    }

    pub(super) fn settle_blocked(&mut self, index: Index) {
        let Some((event_ref, fate)) = take_one(&mut self.unsettled, index) else {
            return;
        };
        if fate == Fate::Failed || fate == Fate::Stuck && self.stuck_holds {
            self.queue.failure_settle_blocked(&event_ref);
        } else if self.has(event_ref.key) {
            self.queue.settle_blocked(&event_ref);
        } else {
            self.queue.settled(&event_ref);
        }
        // Its lane may go to another relay, which finds the event in `outbox_unsettled`.
        self.blocked.push((event_ref, fate));
        self.leave_blocked();
        self.release_idle();
    }

    pub(super) fn unblock(&mut self, count: usize) {
        let count = count.min(self.blocked.len());
        for (event_ref, fate) in self.blocked.drain(..count).collect::<Vec<_>>() {
            let is_gone = self.write(&event_ref, fate);
            self.queue.unblocked(&event_ref);
            if is_gone && fate != Fate::Published {
                self.cursor = 0;
            }
        }
    }

    /// Unsettled events of other lanes are left to the relays that own these, and settled by them.
    pub(super) fn leave_blocked(&mut self) {
        let (kept, dropped): (Vec<_>, Vec<_>) = std::mem::take(&mut self.blocked)
            .into_iter()
            .partition(|(event_ref, fate)| *fate != Fate::Published || self.has(event_ref.key));
        self.blocked = kept;
        for (event_ref, fate) in dropped {
            self.write(&event_ref, fate);
        }
    }
}
