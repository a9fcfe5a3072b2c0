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
            let rows = self.rows(place.key);
            let was = match fate {
                Fate::Published => rows.remove(&place.id),
                Fate::Failed | Fate::Stuck | Fate::Unknown => rows.get_mut(&place.id).map(|row| {
                    std::mem::replace(
                        row,
                        if fate == Fate::Failed { Row::Waits } else { Row::Stuck },
                    )
                }),
            };
            self.queue.settled(&place);
            if was.is_none() && fate != Fate::Published {
                self.cursor = 0;
            }
        }
        self.hand_over();
    }
}
