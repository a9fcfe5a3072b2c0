//! The relay takes events to send them: each once, and none before its turn.

use super::table::Row;
use super::{Fate, Model};
use crate::queue::EventRef;

impl Model {
    pub(super) fn take(&mut self, count: usize, bytes: i64) {
        if !self.may_scan() {
            return;
        }
        let apart = self.queue.take_quarantined(count, bytes, |event_ref| event_ref.id % 3 == 0);
        assert!(apart.len() == 1 || apart.iter().all(|event_ref| event_ref.id % 3 != 0));
        let event_refs = self.queue.take(count, bytes);
        assert!(event_refs.len() <= count);
        let but_last = event_refs.iter().rev().skip(1).map(|event_ref| event_ref.size).sum::<i64>();
        assert!(but_last < bytes);
        for event_ref in apart.into_iter().chain(event_refs) {
            self.taken(event_ref);
        }
    }

    /// Returns whether the event is still there.
    fn taken(&mut self, event_ref: EventRef) -> bool {
        assert!(self.has(event_ref.key), "{event_ref:?} is another relay's");
        for other in self.in_flight.iter().chain(&self.run) {
            assert_ne!(other.id, event_ref.id, "it is taken twice");
        }
        assert!(
            !self.unsettled.iter().any(|(other, _)| other.id == event_ref.id),
            "it is taken twice"
        );
        assert!(
            !self.blocked.iter().any(|(other, _)| other.id == event_ref.id),
            "it is taken twice"
        );
        let alone = !self.in_flight.iter().chain(&self.run).any(|other| other.key == event_ref.key);
        assert!(alone || !self.ordered, "{event_ref:?} is not the only one of its aggregate");
        let row = self.table[&event_ref.key].get(&event_ref.id).filter(|row| row.is_pending());
        let Some(row) = row.copied() else {
            self.queue.gone(&event_ref);
            return false;
        };
        let is_ready = matches!(row, Row::New | Row::Due | Row::ScheduledDue);
        assert!(is_ready, "{event_ref:?} is taken while it is {row:?}");
        self.check_order(&event_ref);
        self.in_flight.push(event_ref);
        true
    }

    pub(super) fn take_run(&mut self, behind: usize) {
        if !self.may_scan() || !self.run.is_empty() {
            return;
        }
        let Some(&first) = self.queue.take(1, 1).first() else {
            return;
        };
        if !self.taken(first) {
            return;
        }
        let mut wanted = behind;
        let follow = self.queue.take_run(&first, |_| {
            wanted = wanted.saturating_sub(1);
            wanted > 0
        });
        if !follow.is_empty() {
            self.in_flight.pop();
            self.run.push(first);
            self.run.extend(follow);
        }
    }

    /// All events ahead in the table are published, if not settled yet, but for scheduled ones.
    pub(super) fn check_order(&self, event_ref: &EventRef) {
        if !self.ordered
            || self.late.contains(&event_ref.id)
            || self.skipped.contains(&event_ref.id)
        {
            return;
        }
        let ahead = self.table[&event_ref.key].range(..event_ref.id);
        for (id, row) in ahead.filter(|(_, row)| row.is_pending() && !row.is_scheduled()) {
            let done = self.unsettled.iter().chain(&self.blocked).any(|(other, fate)| {
                let goes_on = *fate == Fate::Stuck && !self.stuck_holds;
                other.id == *id && (*fate == Fate::Published || goes_on)
            });
            let no_promise =
                self.late.contains(id) || !self.stuck_holds && self.skipped.contains(id);
            assert!(done || no_promise, "{event_ref:?} overtakes {id}, which is {row:?}");
        }
    }
}
