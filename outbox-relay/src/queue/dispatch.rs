//! Events are taken to be sent: those that are ready, and those that go in a run right behind one.

use super::{EventRef, Queue};
use crate::lanes::{LaneSet, lane};

impl Queue {
    /// Takes at most `count` events to be sent, and no further one once their sizes add up to
    /// `bytes`.
    pub(crate) fn take(&mut self, count: usize, bytes: i64) -> Vec<EventRef> {
        let mut taken = Vec::with_capacity(count.min(self.ready.len()));
        let mut size = 0;
        while taken.len() < count
            && size < bytes
            && let Some(event) = self.ready.pop_front()
        {
            size += event.size;
            self.mark_taken(&event);
            taken.push(event);
        }
        taken
    }

    /// Takes quarantined events to be sent: at most `count`, no further one once their sizes add up
    /// to `bytes`, and only one if it `goes_alone`.
    pub(crate) fn take_quarantined(
        &mut self,
        count: usize,
        bytes: i64,
        goes_alone: impl Fn(&EventRef) -> bool,
    ) -> Vec<EventRef> {
        let mut taken: Vec<EventRef> = Vec::new();
        let mut size = 0;
        while taken.len() < count
            && size < bytes
            && let Some(next) = self.quarantined.front()
            && (taken.is_empty() || !goes_alone(&taken[0]) && !goes_alone(next))
            && let Some(event) = self.quarantined.pop_front()
        {
            size += event.size;
            self.mark_taken(&event);
            taken.push(event);
        }
        taken
    }

    fn mark_taken(&mut self, event: &EventRef) {
        self.busy[usize::from(lane(event.key))] += 1;
        if let Some(aggregate) = self.aggregates.get_mut(&event.key) {
            aggregate.take(event.id);
        }
    }

    /// Takes the events right behind one that was taken, as far as they are `wanted`, to be sent in
    /// a run: each when the one ahead is confirmed.
    pub(crate) fn take_run(
        &mut self,
        first: &EventRef,
        wanted: impl FnMut(&EventRef) -> bool,
    ) -> Vec<EventRef> {
        let Some(aggregate) = self.aggregates.get_mut(&first.key) else {
            return Vec::new();
        };
        let Some(run) = aggregate.take_run(first.id, wanted) else {
            return Vec::new();
        };
        if aggregate.is_underfilled() {
            self.underfilled.push(first.key);
        }
        self.busy[usize::from(lane(first.key))] += run.len();
        run
    }

    /// A run ended before its end: `last` is the last event that was sent. The others go back, or
    /// are forgotten unless their lane is one of the `open` ones.
    pub(crate) fn run_interrupted(&mut self, last: &EventRef, unsent: &[EventRef], open: LaneSet) {
        for event in unsent {
            self.not_busy(event);
        }
        let requeues = open.has(lane(last.key)) && self.first_unsettled(last.key).is_none();
        let Some(aggregate) = self.aggregates.get_mut(&last.key) else {
            return;
        };
        if requeues {
            aggregate.run_interrupted(last.id, unsent);
            return;
        }
        aggregate.run_interrupted(last.id, &[]);
        for event in unsent {
            self.tracked.remove(&event.id);
        }
    }

    /// At most `count` events that come next behind those in flight, until their sizes add up to
    /// `bytes`.
    pub(crate) fn peek_next(&self, count: usize, bytes: i64) -> Vec<EventRef> {
        let mut size = 0;
        // Of few aggregates several each, of many a few of the next.
        let each = (count / self.aggregates.len().max(1)).max(1);
        let behind = self.aggregates.values().flat_map(|one| one.behind_in_flight().take(each));
        let fitting = behind.take_while(|event| {
            let fits = size < bytes;
            size += event.size;
            fits
        });
        fitting.take(count).copied().collect()
    }
}
