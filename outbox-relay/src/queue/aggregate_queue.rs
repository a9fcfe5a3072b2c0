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

mod outcomes;
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
    /// Whether events before a head that failed are not tracked: they were found since (another
    /// relay skipped one as stuck, say, and lost its lane before the row said so), or waited while
    /// the head, a scheduled event that went ahead of them, was in flight.
    passed_over: bool,
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
            passed_over: false,
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
            passed_over: false,
        }
    }

    /// Another event was found. Returns whether it is tracked; if not, it will be read again.
    pub(super) fn arrive(&mut self, event: EventRef, arrival: Arrival) -> (bool, Effects) {
        if matches!(self.state, HeadState::Failed | HeadState::Unsettled) {
            self.passed_over |= event.id < self.head;
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

    /// Makes the first of those that wait the head, if any waits, and returns it.
    fn advance(&mut self) -> Option<EventRef> {
        let next = self.waiting.pop_front();
        self.state = if next.is_some() { HeadState::Ready } else { HeadState::Drained };
        self.head = next.map_or(self.head, |next| next.id);
        next
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

    /// The lane was taken: behind a retried event the table may still hold back the others.
    pub(super) fn lane_taken(&mut self) {
        self.has_more |= self.retried.is_some();
    }

    /// The lane goes to another relay: what waits is forgotten, and only what is in flight or
    /// failed is kept.
    pub(super) fn lane_lost(&mut self) -> Effects {
        self.has_more = false;
        self.passed_over = false;
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
