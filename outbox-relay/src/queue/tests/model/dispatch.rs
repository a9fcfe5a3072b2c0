//! The relay takes events to send them: each once, and none before its turn.

use super::table::Row;
use super::{Fate, World};
use crate::queue::Place;

impl World {
    pub(super) fn take(&mut self, count: usize, bytes: i64) {
        if !self.may_look() {
            return;
        }
        let apart = self.queue.take_apart(count, bytes, |place| place.id % 3 == 0);
        assert!(apart.len() == 1 || apart.iter().all(|place| place.id % 3 != 0));
        let places = self.queue.take(count, bytes);
        assert!(places.len() <= count);
        let but_last = places.iter().rev().skip(1).map(|place| place.size).sum::<i64>();
        assert!(but_last < bytes);
        for place in apart.into_iter().chain(places) {
            self.taken(place);
        }
    }

    /// Says whether the event is still there.
    fn taken(&mut self, place: Place) -> bool {
        assert!(self.has(place.key), "{place:?} is another relay's");
        for other in self.in_flight.iter().chain(&self.row) {
            assert_ne!(other.id, place.id, "it is taken twice");
        }
        assert!(!self.unsettled.iter().any(|(other, _)| other.id == place.id), "it is taken twice");
        assert!(!self.aside.iter().any(|(other, _)| other.id == place.id), "it is taken twice");
        let alone = !self.in_flight.iter().chain(&self.row).any(|other| other.key == place.key);
        assert!(alone || !self.ordered, "{place:?} is not the only one of its aggregate");
        let row = self.table[&place.key].get(&place.id).filter(|row| row.is_pending());
        let Some(row) = row.copied() else {
            self.queue.gone(&place);
            return false;
        };
        let is_ready = matches!(row, Row::New | Row::Due);
        assert!(is_ready, "{place:?} is taken while it is {row:?}");
        self.check_order(&place);
        self.in_flight.push(place);
        true
    }

    pub(super) fn take_row(&mut self, behind: usize) {
        if !self.may_look() || !self.row.is_empty() {
            return;
        }
        let Some(&first) = self.queue.take(1, 1).first() else {
            return;
        };
        if !self.taken(first) {
            return;
        }
        let mut wanted = behind;
        let follow = self.queue.follow(&first, |_| {
            wanted = wanted.saturating_sub(1);
            wanted > 0
        });
        if !follow.is_empty() {
            self.in_flight.pop();
            self.row.push(first);
            self.row.extend(follow);
        }
    }

    /// All that is ahead of `place` in the table is published, and only that is not noted yet.
    pub(super) fn check_order(&self, place: &Place) {
        if !self.ordered || self.late.contains(&place.id) || self.skipped.contains(&place.id) {
            return;
        }
        let ahead = self.table[&place.key].range(..place.id);
        for (id, row) in ahead.filter(|(_, row)| row.is_pending()) {
            let done = self.unsettled.iter().chain(&self.aside).any(|(other, fate)| {
                let goes_on = *fate == Fate::Stuck && !self.stuck_holds;
                other.id == *id && (*fate == Fate::Published || goes_on)
            });
            let no_promise =
                self.late.contains(id) || !self.stuck_holds && self.skipped.contains(id);
            assert!(done || no_promise, "{place:?} overtakes {id}, which is {row:?}");
        }
    }
}
