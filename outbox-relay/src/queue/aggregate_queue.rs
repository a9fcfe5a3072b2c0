//! The ordering rule: which event of an aggregate may be sent, and which wait behind it.
//!
//! One event of an aggregate, the head, may be sent at a time; the others wait until it is
//! confirmed. A head that failed holds them back until its row says so, from when on the table
//! itself holds them back. A confirmed event whose row can't be changed ("unsettled") holds them
//! back until it can.
//!
//! ```text
//! Ready ── take ──▶ InFlight ── confirmed ──▶ Ready (the next one), or Drained if none waits
//!   ▲                │    │
//!   └───── lost ─────┘    └── failed ──▶ Failed ── settled ──▶ removed
//! Drained ── refill ──▶ Ready, or removed
//! any ── an event of the aggregate can't be settled ──▶ Unsettled ── unblocked ──▶ Drained
//! ```

use std::collections::VecDeque;

use super::EventRef;
use super::transition::{Arrival, Effects, HeadState, Next, Refill};

/// Events that are tracked behind the head; those further behind stay in the table.
pub(super) const CAPACITY: usize = 128;

/// With fewer than these, more are read from the table while the head is sent.
const REFILL_BELOW: usize = CAPACITY / 2;

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
    /// The event that failed before and was sent again: until it is settled as published, the table
    /// holds back those behind it. It is the head, or was it before events with lower ids that
    /// appeared late.
    retried: Option<i64>,
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
        }
    }

    /// The queue of an aggregate that waits for an unsettled event.
    pub(super) const fn unsettled(id: i64) -> Self {
        let waiting = VecDeque::new();
        Self { head: id, state: HeadState::Unsettled, waiting, has_more: true, retried: None }
    }

    /// Another event was found. Returns whether it is tracked; if not, it will be read again.
    pub(super) fn arrive(&mut self, event: EventRef, arrival: Arrival) -> bool {
        if matches!(self.state, HeadState::Failed | HeadState::Unsettled) {
            return false;
        }
        let is_retry = arrival == Arrival::Retry;
        // One that appeared late, below those that are tracked, is not found by a refill.
        let last = self.waiting.back().map_or(self.head, |last| last.id.max(self.head));
        let is_late = event.id < last && !is_retry;
        if !is_late && (self.has_more || is_retry || self.waiting.len() >= CAPACITY) {
            self.has_more = true;
            return false;
        }
        self.insert(event);
        true
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
        Effects { forgotten: std::mem::take(&mut self.waiting), ..Effects::default() }
    }

    /// An event that was taken goes back: its outcome is unknown, or it was not sent. It is ready
    /// again, unless the aggregate waits for an unsettled event by now.
    pub(super) fn lost(&mut self, event: EventRef, first_unsettled: Option<i64>) -> Effects {
        if self.head == event.id {
            if let Some(first) = first_unsettled {
                let mut effects = self.wait_for_unsettled(first);
                effects.forgotten.push_back(event);
                return effects;
            }
            self.state = HeadState::Ready;
        }
        Effects { ready: Some(event), ..Effects::default() }
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
        if self.retried == Some(id) {
            self.retried = None;
        }
        Effects::default()
    }

    /// From now on the table holds back those behind an event that failed.
    fn failure_settled(&mut self, first_unsettled: Option<i64>) -> Effects {
        match first_unsettled {
            Some(first) => self.wait_for_unsettled(first),
            None => Effects { next: Next::Remove, ..Effects::default() },
        }
    }

    /// A confirmed event can't be settled: the others wait for it, behind what is in flight.
    pub(super) fn settle_blocked(&mut self, id: i64) -> Effects {
        let forgotten = std::mem::take(&mut self.waiting);
        let mut withdrawn = None;
        self.has_more = true;
        match self.state {
            HeadState::Ready => {
                withdrawn = Some(self.head);
                *self = Self::unsettled(id);
            }
            HeadState::Drained => *self = Self::unsettled(self.head.min(id)),
            HeadState::Unsettled => self.head = self.head.min(id),
            HeadState::InFlight | HeadState::Failed => (),
        }
        Effects { withdrawn, forgotten, ..Effects::default() }
    }

    /// An unsettled event is settled or gone by now; `first_unsettled` is the first one left.
    pub(super) fn unblocked(&mut self, id: i64, first_unsettled: Option<i64>) -> Effects {
        let is_free = first_unsettled.is_none();
        match self.state {
            HeadState::Failed if self.head == id => return self.failure_settled(first_unsettled),
            HeadState::Unsettled if is_free => self.state = HeadState::Drained,
            _ if is_free && self.is_underfilled() => (),
            _ => return Effects::default(),
        }
        Effects { next: Next::Refill, ..Effects::default() }
    }

    /// All wait for `first`. Those behind it are read again: lower ids may have appeared since.
    fn wait_for_unsettled(&mut self, first: i64) -> Effects {
        let forgotten = std::mem::take(&mut self.waiting);
        *self = Self::unsettled(first);
        Effects { forgotten, ..Effects::default() }
    }

    /// The lane was taken: behind a retried event the table may still hold back the others.
    pub(super) fn lane_taken(&mut self) {
        self.has_more |= self.retried.is_some();
    }

    /// The lane goes to another relay: what waits is forgotten, and only what is in flight or
    /// failed is kept.
    pub(super) fn lane_lost(&mut self) -> Effects {
        self.has_more = false;
        let is_kept = matches!(self.state, HeadState::InFlight | HeadState::Failed);
        let next = if is_kept { Next::Keep } else { Next::Remove };
        Effects { forgotten: std::mem::take(&mut self.waiting), next, ..Effects::default() }
    }

    /// Whether fewer events wait than should, and the table may hold more.
    pub(super) fn is_underfilled(&self) -> bool {
        self.has_more && self.waiting.len() < REFILL_BELOW
    }

    pub(super) fn needs_refill(&self) -> Refill {
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
    pub(super) fn refill(
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
    pub(super) const fn will_read_more(&self) -> bool {
        self.has_more || matches!(self.state, HeadState::Failed | HeadState::Unsettled)
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
