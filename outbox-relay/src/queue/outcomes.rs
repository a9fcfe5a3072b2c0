//! What became of the events that were taken: each ends in one of these ways.

use std::collections::hash_map::Entry;

use super::aggregate_queue::AggregateQueue;
use super::{EventRef, Queue};
use crate::lanes::lane;

/// The outcome of an event that was taken is known, or will never be.
impl Queue {
    /// The event is published, though not settled yet: the next of its aggregate is ready, unless
    /// it went in the same run.
    pub(crate) fn confirmed(&mut self, event: &EventRef) {
        self.transition(event.key, |aggregate, unsettled| aggregate.confirmed(event.id, unsettled));
    }

    /// The event failed, and holds back those behind it.
    pub(crate) fn failed(&mut self, event: &EventRef) {
        self.transition(event.key, |aggregate, _| aggregate.failed());
    }

    /// The event is no longer pending: another session published or deleted it.
    pub(crate) fn gone(&mut self, event: &EventRef) {
        self.confirmed(event);
        self.settled(event);
    }

    /// The event failed before, as its row says.
    pub(crate) fn mark_retried(&mut self, event: &EventRef) {
        if let Some(aggregate) = self.aggregates.get_mut(&event.key) {
            aggregate.mark_retried(event.id);
        }
    }

    /// The event goes back: its outcome is unknown, or it was not sent.
    pub(crate) fn put_back(&mut self, event: EventRef) {
        if let Some(event) = self.lost(event) {
            self.ready.push_front(event);
        }
    }

    /// The event goes back, and is sent apart from the others next time: what it does to a window
    /// is no concern of theirs.
    pub(crate) fn quarantine(&mut self, event: EventRef) {
        match self.lost(event) {
            Some(first) if first.id == event.id => self.quarantined.push_back(first),
            Some(first) => self.ready.push_front(first),
            None => (),
        }
    }

    /// Returns the event if it may be sent again. If not, it is read again when its aggregate goes
    /// on.
    fn lost(&mut self, event: EventRef) -> Option<EventRef> {
        self.not_busy(&event);
        let mut ready = Some(event);
        self.transition(event.key, |aggregate, unsettled| {
            let mut effects = aggregate.lost(event, unsettled);
            ready = effects.ready.take();
            effects
        });
        ready
    }

    /// The event is left to the relay that owns its lane by now; its outcome is unknown.
    pub(crate) fn release(&mut self, event: &EventRef) {
        self.not_busy(event);
        self.tracked.remove(&event.id);
        self.aggregates.remove(&event.key);
    }

    pub(super) fn not_busy(&mut self, event: &EventRef) {
        let busy = &mut self.busy[usize::from(lane(event.key))];
        *busy = busy.saturating_sub(1);
    }
}

/// The outcome is to be written into the event's row.
impl Queue {
    /// The row says what became of an event that was taken.
    pub(crate) fn settled(&mut self, event: &EventRef) {
        self.tracked.remove(&event.id);
        self.not_busy(event);
        self.transition(event.key, |aggregate, unsettled| aggregate.settled(event.id, unsettled));
    }

    /// An event that was taken is published, and its row can't be changed.
    pub(crate) fn settle_blocked(&mut self, event: &EventRef) {
        self.not_busy(event);
        self.add_unsettled(event);
    }

    /// An event that was taken failed, and its row can't be changed: those behind it wait as they
    /// do anyway.
    pub(crate) fn failure_settle_blocked(&mut self, event: &EventRef) {
        self.not_busy(event);
    }

    /// An event is published, and its row can't be changed; it was not taken from this queue.
    pub(crate) fn add_unsettled(&mut self, event: &EventRef) {
        self.tracked.insert(event.id);
        self.unsettled.entry(event.key).or_default().insert(event.id);
        if !self.ordered {
            return;
        }
        match self.aggregates.entry(event.key) {
            Entry::Vacant(aggregate) => {
                aggregate.insert(AggregateQueue::unsettled(event.id));
            }
            Entry::Occupied(mut aggregate) => {
                let effects = aggregate.get_mut().settle_blocked(event.id);
                self.apply(event.key, effects);
            }
        }
    }

    /// An event that could not be settled is settled by now, or is not pending any more.
    pub(crate) fn unblocked(&mut self, event: &EventRef) {
        self.tracked.remove(&event.id);
        if let Some(events) = self.unsettled.get_mut(&event.key) {
            events.remove(&event.id);
            if events.is_empty() {
                self.unsettled.remove(&event.key);
            }
        }
        self.transition(event.key, |aggregate, unsettled| aggregate.unblocked(event.id, unsettled));
    }
}
