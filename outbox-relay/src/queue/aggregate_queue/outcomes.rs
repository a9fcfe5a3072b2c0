//! What became of the event of an aggregate that was taken, and what follows for those behind it.

use super::AggregateQueue;
use crate::queue::EventRef;
use crate::queue::transition::{Effects, HeadState, Next};

/// The outcome of an event that was taken is known, or will never be.
impl AggregateQueue {
    /// An event that was taken is confirmed: the next one is ready, unless it went in the same run.
    pub(in crate::queue) fn confirmed(&mut self, id: i64, first_unsettled: Option<i64>) -> Effects {
        if self.head != id {
            return Effects::default();
        }
        if let Some(first) = first_unsettled {
            return self.wait_for_unsettled(first);
        }
        let ready = self.advance();
        let next = match ready {
            _ if self.is_underfilled() => Next::Refill,
            Some(_) => Next::Keep,
            None => Next::Remove,
        };
        Effects { ready, next, ..Effects::default() }
    }

    /// An event that was taken failed, and holds back those behind it.
    pub(in crate::queue) fn failed(&mut self) -> Effects {
        self.state = HeadState::Failed;
        self.forget_retry(self.head);
        // The table holds back only those behind it, and scans have gone past these.
        self.passed_over = self.waiting.front().is_some_and(|first| first.id < self.head);
        Effects { forgotten: std::mem::take(&mut self.waiting), ..Effects::default() }
    }

    /// An event that was taken goes back: its outcome is unknown, or it was not sent. It is ready
    /// again, unless the aggregate waits for an unsettled event by now.
    pub(in crate::queue) fn lost(
        &mut self,
        event: EventRef,
        first_unsettled: Option<i64>,
    ) -> Effects {
        if self.head == event.id {
            if let Some(first) = first_unsettled {
                self.forget_retry(event.id);
                let mut effects = self.wait_for_unsettled(first);
                effects.forgotten.push_back(event);
                return effects;
            }
            self.state = HeadState::Ready;
            if self.waiting.front().is_some_and(|first| first.id < event.id)
                && let Some(first) = self.waiting.pop_front()
            {
                // It was in flight when an event appeared ahead of it.
                return self.displace(first);
            }
        }
        Effects { ready: Some(event), ..Effects::default() }
    }

    /// Events that were taken are not sent after all, as one of them is paused. All that wait are
    /// forgotten, to be found by a scan from the beginning.
    pub(in crate::queue) fn paused(
        &mut self,
        ids: &[i64],
        first_unsettled: Option<i64>,
    ) -> Effects {
        if !ids.contains(&self.head) {
            return Effects { forgotten: std::mem::take(&mut self.waiting), ..Effects::default() };
        }
        self.forget_retry(self.head);
        if let Some(first) = first_unsettled {
            return self.wait_for_unsettled(first);
        }
        let forgotten = std::mem::take(&mut self.waiting);
        Effects { forgotten, next: Next::Remove, ..Effects::default() }
    }

    /// An event that was taken failed before, as its row says: the table holds back those behind it
    /// until it is settled as published, so that no scan has found them.
    pub(in crate::queue) fn mark_retried(&mut self, id: i64) {
        if self.head == id {
            self.retried = Some(id);
            self.has_more = true;
        }
    }
}

/// The outcome is to be written into the event's row.
impl AggregateQueue {
    /// The row says what became of an event that was taken.
    pub(in crate::queue) fn settled(&mut self, id: i64, first_unsettled: Option<i64>) -> Effects {
        if self.state == HeadState::Failed && self.head == id {
            return self.failure_settled(first_unsettled);
        }
        if self.retried == Some(id) && self.state == HeadState::Drained {
            self.read_all();
        }
        self.forget_retry(id);
        Effects::default()
    }

    /// The event is not sent again, its row says by now that it is published, or another relay is to
    /// write that.
    pub(in crate::queue) fn forget_retry(&mut self, id: i64) {
        if self.retried == Some(id) {
            self.retried = None;
        }
    }

    /// From now on the table holds back those behind an event that failed.
    fn failure_settled(&mut self, first_unsettled: Option<i64>) -> Effects {
        match first_unsettled {
            Some(first) => self.wait_for_unsettled(first),
            None if self.passed_over => self.drain(),
            None => Effects { next: Next::Remove, ..Effects::default() },
        }
    }

    /// A confirmed event can't be settled: the others wait for it, behind what is in flight.
    pub(in crate::queue) fn settle_blocked(&mut self, id: i64) -> Effects {
        let first = match self.state {
            HeadState::Ready => id,
            HeadState::Drained | HeadState::Unsettled => self.head.min(id),
            HeadState::InFlight | HeadState::Failed => {
                self.has_more = true;
                // Those before it would not be read again.
                let behind = self.waiting.partition_point(|event| event.id < self.head);
                let forgotten = self.waiting.split_off(behind);
                return Effects { forgotten, ..Effects::default() };
            }
        };
        let withdrawn = (self.state == HeadState::Ready).then_some(self.head);
        if let Some(head) = withdrawn {
            self.forget_retry(head);
        }
        Effects { withdrawn, ..self.wait_for_unsettled(first) }
    }

    /// An unsettled event is settled or gone by now; `first_unsettled` is the first one left.
    pub(in crate::queue) fn unblocked(&mut self, id: i64, first_unsettled: Option<i64>) -> Effects {
        self.forget_retry(id);
        let is_free = first_unsettled.is_none();
        match self.state {
            HeadState::Failed if self.head == id => return self.failure_settled(first_unsettled),
            HeadState::Unsettled if is_free => return self.drain(),
            _ if is_free && self.is_underfilled() => (),
            _ => return Effects::default(),
        }
        Effects { next: Next::Refill, ..Effects::default() }
    }

    /// Nothing is waited for any more: what comes next is read from the table.
    fn drain(&mut self) -> Effects {
        self.passed_over = false;
        self.read_all();
        self.state = HeadState::Drained;
        self.has_more = true;
        Effects { next: Next::Refill, ..Effects::default() }
    }

    /// What comes next is read from the first event on that the table has. The head may have gone
    /// ahead of earlier ones, as it was scheduled, and the scans may not have come to them again.
    fn read_all(&mut self) {
        self.head = i64::MIN;
    }

    /// All wait for `first`. They are read again then.
    fn wait_for_unsettled(&mut self, first: i64) -> Effects {
        self.head = first;
        self.state = HeadState::Unsettled;
        self.has_more = true;
        Effects { forgotten: std::mem::take(&mut self.waiting), ..Effects::default() }
    }
}
