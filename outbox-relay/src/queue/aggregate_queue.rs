//! The ordering rule: which event of an aggregate may be sent, and which wait behind it.
//!
//! One event of an aggregate, the head, may be sent at a time; the others wait until it is
//! confirmed. One that arrives with a lower id goes before a head that is not in flight. A head that
//! failed holds them back until its row says so, from when on the table itself holds them back. A
//! confirmed event whose row can't be changed ("unsettled") holds them back until it can.
//!
//! ```text
//! Ready ── take ──▶ InFlight ── confirmed ──▶ Ready (the next one), or Drained if none waits
//!   ▲                │    │
//!   └───── lost ─────┘    └── failed ──▶ Failed ── settled ──▶ removed
//! Drained ── refill ──▶ Ready, or removed
//! any ── an event of the aggregate can't be settled ──▶ Unsettled ── unblocked ──▶ Drained
//! ```

mod refill;

use std::collections::VecDeque;

use super::EventRef;
use super::transition::{Arrival, Effects, HeadState, Next};

/// Events that are tracked behind the head; those further behind stay in the table.
pub(super) const CAPACITY: usize = 128;

/// The queued events of one aggregate, from when one is ready until none is left.
#[derive(Debug)]
pub(super) struct AggregateQueue {
    /// The event that is ready, in flight (the last one of a run), failed or confirmed last.
    head: i64,
    state: HeadState,
    /// The tracked events behind the head. Empty while it is failed or unsettled.
    waiting: VecDeque<EventRef>,
    /// Whether the table may hold more behind the last of them.
    has_more: bool,
    /// The event that failed before and is sent again: until it is settled as published, the table
    /// holds back those behind it. It is the head, or it is confirmed: then the head may be an event
    /// with a lower id that appeared late, or an unsettled one.
    retried: Option<i64>,
    /// The lowest of the events before the head that were found while it was failed or unsettled:
    /// another relay skipped it as stuck, say, and lost its lane before the row said so.
    passed_over: Option<i64>,
}

impl AggregateQueue {
    /// The queue of an aggregate of which `first` is ready.
    pub(super) fn new(first: EventRef, arrival: Arrival) -> Self {
        let is_retry = arrival == Arrival::Retry;
        Self {
            head: first.id,
            state: HeadState::Ready,
            waiting: VecDeque::new(),
            has_more: is_retry,
            retried: is_retry.then_some(first.id),
            passed_over: None,
        }
    }

    /// The queue of an aggregate that waits for an unsettled event.
    pub(super) const fn unsettled(id: i64) -> Self {
        Self {
            head: id,
            state: HeadState::Unsettled,
            waiting: VecDeque::new(),
            has_more: true,
            retried: None,
            passed_over: None,
        }
    }

    /// Another event was found. Returns whether it is tracked; if not, it will be read again.
    pub(super) fn arrive(&mut self, event: EventRef, arrival: Arrival) -> (bool, Effects) {
        if matches!(self.state, HeadState::Failed | HeadState::Unsettled) {
            if event.id < self.head {
                self.passed_over = Some(self.passed_over.map_or(event.id, |id| id.min(event.id)));
            }
            return (false, Effects::default());
        }
        let is_retry = arrival == Arrival::Retry;
        // One that appeared late, below those that are tracked, is not found by a refill.
        let last = self.waiting.back().map_or(self.head, |last| last.id.max(self.head));
        let is_late = event.id < last && !is_retry;
        if !is_late && (self.has_more || is_retry || self.waiting.len() >= CAPACITY) {
            self.has_more = true;
            return (false, Effects::default());
        }
        if self.state == HeadState::Ready && event.id < self.head && !is_retry {
            return (true, self.displace(event));
        }
        self.insert(event);
        let mut effects = Effects::default();
        if self.waiting.len() > CAPACITY {
            effects.forgotten.extend(self.waiting.pop_back());
            self.has_more = true;
        }
        (true, effects)
    }

    /// Makes an event with a lower id the head, in place of one that is not in flight. All others
    /// are read again behind it.
    fn displace(&mut self, first: EventRef) -> Effects {
        let withdrawn = Some(self.head);
        self.forget_retry(self.head);
        self.head = first.id;
        self.has_more = true;
        let forgotten = std::mem::take(&mut self.waiting);
        Effects { ready: Some(first), withdrawn, forgotten, next: Next::Refill }
    }

    fn insert(&mut self, event: EventRef) {
        let at = self.waiting.partition_point(|other| other.id < event.id);
        self.waiting.insert(at, event);
    }

    /// The event is sent.
    pub(super) fn take(&mut self, id: i64) {
        if self.head == id {
            self.state = HeadState::InFlight;
        }
    }

    /// Takes the events right behind the one that was taken, as far as they are `wanted`, to be
    /// sent in a run: each when the one ahead is confirmed. `None` when nothing may follow it.
    pub(super) fn take_run(
        &mut self,
        id: i64,
        mut wanted: impl FnMut(&EventRef) -> bool,
    ) -> Option<Vec<EventRef>> {
        // Behind one that failed before, the table holds the others back until it is settled.
        if self.head != id || self.retried.is_some() {
            return None;
        }
        let count = self.waiting.iter().take_while(|next| wanted(next)).count();
        let run: Vec<EventRef> = self.waiting.drain(..count).collect();
        self.head = run.last().map_or(self.head, |last| last.id);
        Some(run)
    }

    /// A run ended early: `last` is the last event that was sent; those of `unsent` wait again.
    pub(super) fn run_interrupted(&mut self, last: i64, unsent: &[EventRef]) {
        self.head = last;
        for event in unsent {
            self.insert(*event);
        }
    }

    /// An event that was taken is confirmed: the next one is ready, unless it went in the same run.
    pub(super) fn confirmed(&mut self, id: i64, first_unsettled: Option<i64>) -> Effects {
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

    /// Makes the first of those that wait the head, if any waits, and returns it.
    fn advance(&mut self) -> Option<EventRef> {
        let next = self.waiting.pop_front();
        self.state = if next.is_some() { HeadState::Ready } else { HeadState::Drained };
        self.head = next.map_or(self.head, |next| next.id);
        next
    }

    /// An event that was taken failed, and holds back those behind it.
    pub(super) fn failed(&mut self) -> Effects {
        self.state = HeadState::Failed;
        self.forget_retry(self.head);
        Effects { forgotten: std::mem::take(&mut self.waiting), ..Effects::default() }
    }

    /// An event that was taken goes back: its outcome is unknown, or it was not sent. It is ready
    /// again, unless the aggregate waits for an unsettled event by now.
    pub(super) fn lost(&mut self, event: EventRef, first_unsettled: Option<i64>) -> Effects {
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
    pub(super) fn paused(&mut self, ids: &[i64], first_unsettled: Option<i64>) -> Effects {
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
    pub(super) fn mark_retried(&mut self, id: i64) {
        if self.head == id {
            self.retried = Some(id);
            self.has_more = true;
        }
    }

    /// The row says what became of an event that was taken.
    pub(super) fn settled(&mut self, id: i64, first_unsettled: Option<i64>) -> Effects {
        if self.state == HeadState::Failed && self.head == id {
            return self.failure_settled(first_unsettled);
        }
        self.forget_retry(id);
        Effects::default()
    }

    /// The event is not sent again, its row says by now that it is published, or another relay is to
    /// write that.
    pub(super) fn forget_retry(&mut self, id: i64) {
        if self.retried == Some(id) {
            self.retried = None;
        }
    }

    /// From now on the table holds back those behind an event that failed.
    fn failure_settled(&mut self, first_unsettled: Option<i64>) -> Effects {
        match first_unsettled {
            Some(first) => self.wait_for_unsettled(first),
            None if self.passed_over.is_some() => self.drain(),
            None => Effects { next: Next::Remove, ..Effects::default() },
        }
    }

    /// A confirmed event can't be settled: the others wait for it, behind what is in flight.
    pub(super) fn settle_blocked(&mut self, id: i64) -> Effects {
        let first = match self.state {
            HeadState::Ready => id,
            HeadState::Drained | HeadState::Unsettled => self.head.min(id),
            HeadState::InFlight | HeadState::Failed => {
                self.has_more = true;
                let forgotten = std::mem::take(&mut self.waiting);
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
    pub(super) fn unblocked(&mut self, id: i64, first_unsettled: Option<i64>) -> Effects {
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
        if let Some(lowest) = self.passed_over.take() {
            self.head = self.head.min(lowest.saturating_sub(1));
        }
        self.state = HeadState::Drained;
        self.has_more = true;
        Effects { next: Next::Refill, ..Effects::default() }
    }

    /// All wait for `first`. Those behind it are read again: lower ids may have appeared since.
    fn wait_for_unsettled(&mut self, first: i64) -> Effects {
        self.head = first;
        self.state = HeadState::Unsettled;
        self.has_more = true;
        Effects { forgotten: std::mem::take(&mut self.waiting), ..Effects::default() }
    }

    /// The lane was taken: behind a retried event the table may still hold back the others.
    pub(super) fn lane_taken(&mut self) {
        self.has_more |= self.retried.is_some();
    }

    /// The lane goes to another relay: what waits is forgotten, and only what is in flight or
    /// failed is kept.
    pub(super) fn lane_lost(&mut self) -> Effects {
        self.has_more = false;
        self.passed_over = None;
        let is_kept = matches!(self.state, HeadState::InFlight | HeadState::Failed);
        let next = if is_kept { Next::Keep } else { Next::Remove };
        Effects { forgotten: std::mem::take(&mut self.waiting), next, ..Effects::default() }
    }

    pub(super) fn is_unsettled(&self) -> bool {
        self.state == HeadState::Unsettled
    }

    /// The events behind one that is in flight.
    pub(super) fn behind_in_flight(&self) -> impl Iterator<Item = &EventRef> {
        let is_in_flight = self.state == HeadState::InFlight;
        self.waiting.iter().take(if is_in_flight { usize::MAX } else { 0 })
    }

    /// How many events wait behind the head.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests;
