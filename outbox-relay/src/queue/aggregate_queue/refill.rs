//! Which events of an aggregate are read from the table behind those that are tracked.

use super::{AggregateQueue, CAPACITY};
use crate::queue::EventRef;
use crate::queue::transition::{Effects, HeadState, Next, Refill};

/// With fewer than these, more are read from the table while the head is sent.
const REFILL_BELOW: usize = CAPACITY / 2;

impl AggregateQueue {
    /// Whether fewer events wait than should, and the table may hold more.
    pub(in crate::queue) fn is_underfilled(&self) -> bool {
        self.has_more && self.waiting.len() < REFILL_BELOW
    }

    pub(in crate::queue) fn needs_refill(&self) -> Refill {
        // Behind one that failed, the table is not asked before it knows of that.
        let is_held = matches!(self.state, HeadState::Failed | HeadState::Unsettled);
        if is_held || !self.is_underfilled() {
            Refill::NotNeeded
        } else if self.retried.is_some() {
            Refill::Later
        } else {
            Refill::Above(self.waiting.back().map_or(self.head, |last| last.id))
        }
    }

    /// Adds what the table holds behind those that are tracked, as far as `track` says that it is
    /// new.
    pub(in crate::queue) fn refill(
        &mut self,
        found: Vec<EventRef>,
        mut track: impl FnMut(&EventRef) -> bool,
    ) -> Effects {
        self.has_more = found.len() >= CAPACITY;
        self.waiting.extend(found.into_iter().filter(|event| track(event)));
        if self.state != HeadState::Drained {
            return Effects::default();
        }
        let ready = self.advance();
        let next = match ready {
            Some(_) => Next::Keep,
            None if self.has_more => Next::Refill,
            None => Next::Remove,
        };
        Effects { ready, next, ..Effects::default() }
    }

    /// Whether events that are not tracked will be read without being found by a scan.
    pub(in crate::queue) const fn will_read_more(&self) -> bool {
        self.has_more || matches!(self.state, HeadState::Failed | HeadState::Unsettled)
    }
}
