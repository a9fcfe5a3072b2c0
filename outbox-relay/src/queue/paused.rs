//! Paused events: they stay in the table, and so do those behind them.
//!
//! An event that is paused with its whole aggregate is never found. One that is paused for its type
//! is remembered by its aggregate, so that those behind it, which are found, wait. All of it is
//! forgotten when the pauses change, and the table is scanned again.

use super::{EventRef, MAX_PAUSED, Queue};

impl Queue {
    /// A scan found an event that is paused: those behind it wait. One that is in flight is
    /// finished, and is not waited for.
    pub(crate) fn hold_behind(&mut self, event: &EventRef) {
        if self.ordered && !self.tracked.contains(&event.id) {
            let first = self.paused.entry(event.key).or_insert(event.id);
            *first = event.id.min(*first);
        }
    }

    /// Forgets which events are paused. Returns whether there were any: the table has to be scanned
    /// from the beginning then.
    pub(crate) fn forget_paused(&mut self) -> bool {
        let has_any = !self.paused.is_empty();
        self.paused.clear();
        has_any
    }

    /// Whether so many aggregates are remembered that no more events may be read.
    pub(crate) fn holds_too_many(&self) -> bool {
        self.paused.len() >= MAX_PAUSED
    }

    /// Whether the event is paused, as far as is remembered, or waits behind one that is.
    pub(super) fn is_behind_paused(&self, event: &EventRef) -> bool {
        self.paused.get(&event.key).is_some_and(|first| *first <= event.id)
    }

    /// Events of the aggregate `key` that were taken are not sent after all: one of them is paused.
    /// They, and all that wait in the aggregate, are found by a scan from the beginning.
    pub(crate) fn pause_taken(&mut self, key: i64, event_refs: &[EventRef]) {
        for event_ref in event_refs {
            self.not_busy(event_ref);
            self.tracked.remove(&event_ref.id);
        }
        let ids: Vec<i64> = event_refs.iter().map(|event_ref| event_ref.id).collect();
        self.transition(key, |aggregate, unsettled| aggregate.paused(&ids, unsettled));
    }
}
