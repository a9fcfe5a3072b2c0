//! What becomes of the events that were sent, and when the table knows of it.

use proptest::sample::Index;

use super::table::Row;
use super::{Fate, World, take_one};
use crate::queue::Place;

impl World {
    pub(super) fn end_row(&mut self, sent: Index, last: Fate) {
        if !self.row.is_empty() {
            self.end_row_after(1 + sent.index(self.row.len()), last);
        }
    }

    pub(super) fn end_row_after(&mut self, sent: usize, last: Fate) {
        let mut row = std::mem::take(&mut self.row);
        let unsent = row.split_off(sent);
        let Some(end) = row.pop() else {
            return;
        };
        if !unsent.is_empty() {
            self.queue.broke_off(&end, &unsent, self.has(end.key));
        }
        for place in row {
            self.check_order(&place);
            self.end(place, Fate::Published);
        }
        self.check_order(&end);
        self.end(end, last);
    }

    pub(super) fn end_one(&mut self, index: Index, fate: Fate) {
        if let Some(place) = take_one(&mut self.in_flight, index) {
            self.end(place, fate);
        }
    }

    pub(super) fn end(&mut self, place: Place, fate: Fate) {
        match fate {
            Fate::Published => self.queue.published(&place),
            Fate::Failed => self.queue.failed(&place),
            Fate::Stuck => {
                self.skipped.insert(place.id);
                if self.stuck_holds {
                    self.queue.failed(&place);
                } else {
                    self.queue.published(&place);
                }
            }
            Fate::Unknown if self.has(place.key) && place.id % 2 == 0 => {
                return self.queue.set_apart(place);
            }
            Fate::Unknown if self.has(place.key) => return self.queue.put_back(place),
            Fate::Unknown => return self.queue.let_go(&place),
        }
        self.unsettled.push((place, fate));
    }

    pub(super) fn settle(&mut self, count: usize) {
        let count = count.min(self.unsettled.len());
        for (place, fate) in self.unsettled.drain(..count).collect::<Vec<_>>() {
            let is_gone = self.note(&place, fate);
            self.queue.settled(&place);
            if is_gone && fate != Fate::Published {
                self.cursor = 0;
            }
        }
        self.hand_over();
    }

    /// The table takes the outcome. Says whether the row was gone.
    fn note(&mut self, place: &Place, fate: Fate) -> bool {
        let pending = self.rows(place.key).get_mut(&place.id).filter(|row| row.is_pending());
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
        let Some((place, fate)) = take_one(&mut self.unsettled, index) else {
            return;
        };
        if fate == Fate::Failed || fate == Fate::Stuck && self.stuck_holds {
            self.queue.set_failed_aside(&place);
        } else if self.has(place.key) {
            self.queue.set_aside(&place);
        } else {
            self.queue.settled(&place);
        }
        // Its lane may be on its way to another relay, which leaves the event alone by the note on it.
        self.aside.push((place, fate));
        self.forget_aside();
        self.hand_over();
    }

    pub(super) fn unblock(&mut self, count: usize) {
        let count = count.min(self.aside.len());
        for (place, fate) in self.aside.drain(..count).collect::<Vec<_>>() {
            let is_gone = self.note(&place, fate);
            self.queue.released(&place);
            if is_gone && fate != Fate::Published {
                self.cursor = 0;
            }
        }
    }

    /// What is noted is left to the relays that own the lanes, and settled by them.
    pub(super) fn forget_aside(&mut self) {
        let (kept, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.aside)
            .into_iter()
            .partition(|(place, fate)| *fate != Fate::Published || self.has(place.key));
        self.aside = kept;
        for (place, fate) in left {
            self.note(&place, fate);
        }
    }
}
