//! What is paused: it is left out by the scans, and by what goes back after it was in flight.

use std::time::{Duration, Instant};

use super::Engine;
use crate::lanes::{LaneSet, lane};
use crate::pauses::PauseSet;
use crate::publish::dispatcher::Window;
use crate::publish::event::Event;
use crate::publish::load::Loaded;
use crate::queue::EventRef;

/// How long after lanes were taken, or events paused, the table is scanned again for paused events:
/// another relay may have had one of them in flight, and it may be published by now. It doubles
/// each time, as a person may have deleted one without a command.
const SCAN_PAUSED_AGAIN: Duration = Duration::from_mins(1);
const SCAN_PAUSED_AT_LEAST_EVERY: Duration = Duration::from_mins(30);

/// The shortest and the longest time between two scans for what pauses have held back that ended.
const LEAST_BETWEEN: Duration = Duration::from_secs(1);
const MOST_BETWEEN: Duration = Duration::from_mins(1);

/// When paused events are scanned for again, so that none is waited for in vain.
#[derive(Debug)]
pub(super) struct PausedScans {
    again: Option<(Instant, Duration)>,
    /// What is left of the pauses, if some have ended and the table is not scanned yet for what
    /// they held back.
    left: Option<PauseSet>,
    /// When the table may be scanned for that.
    next: Option<Instant>,
    between: Duration,
}

impl Default for PausedScans {
    fn default() -> Self {
        Self { again: None, left: None, next: None, between: LEAST_BETWEEN }
    }
}

impl Engine {
    /// What is not to be published for now.
    pub(crate) const fn pauses(&self) -> &PauseSet {
        &self.pauses
    }

    /// Other events are paused from now on. What is in flight is finished. If more are paused, all
    /// else is forgotten, and the scans start over; if pauses have only ended,
    /// [`check_paused`](Self::check_paused) follows.
    pub(crate) fn set_pauses(&mut self, pauses: PauseSet, now: Instant) {
        self.paused_scans.left = None;
        if self.pauses == pauses {
            return;
        }
        if self.pauses.contains_all(&pauses) {
            self.paused_scans.left = Some(pauses);
        } else {
            tracing::info!(pauses = pauses.len(), "more events are paused");
            self.pauses = pauses;
            self.scans_broken_off(now);
            self.scan_paused_again(now);
        }
    }

    /// Starts the scans over if pauses have ended, or if paused events that others wait for may be
    /// published by now.
    pub(crate) fn check_paused(&mut self, now: Instant) {
        self.adopt_left(now);
        if let Some((_, interval)) = self.paused_scans.again.take_if(|(at, _)| *at <= now) {
            if self.pauses.len() > 0 {
                let interval = (2 * interval).min(SCAN_PAUSED_AT_LEAST_EVERY);
                self.paused_scans.again = Some((now + interval, interval));
            }
            if self.queue.forget_paused() {
                self.scanner.start_over(now);
            }
        }
    }

    /// Respects only the pauses that are left, and starts the scans over: what comes first in an
    /// aggregate was left out. Until then they go on as they began. Pauses that end one after the
    /// other must not keep the scans from the end of the table: each scan that was cut short
    /// doubles the time to the next.
    fn adopt_left(&mut self, now: Instant) {
        let scans = &mut self.paused_scans;
        let has_begun = !self.scanner.is_at_start();
        if has_begun && scans.next.is_some_and(|next| now < next) {
            return;
        }
        let Some(pauses) = scans.left.take() else {
            return;
        };
        tracing::info!(pauses = pauses.len(), "pauses have ended");
        let was_cut_short = has_begun && !self.scanner.is_at_end();
        scans.between =
            if was_cut_short { (2 * scans.between).min(MOST_BETWEEN) } else { LEAST_BETWEEN };
        scans.next = Some(now + scans.between);
        self.pauses = pauses;
        self.queue.forget_paused();
        self.scanner.start_over(now);
    }

    /// The session took lanes, or events are paused.
    pub(super) fn scan_paused_again(&mut self, now: Instant) {
        // Not later than it was to be before: lanes may be taken again and again.
        let first = (now + SCAN_PAUSED_AGAIN, SCAN_PAUSED_AGAIN);
        let again = self.paused_scans.again.get_or_insert(first);
        if first.0 < again.0 {
            *again = first;
        }
    }

    /// Completes a window by what was loaded for it. Leaves out events that are paused by now:
    /// their type was changed since they were found, say.
    pub(crate) fn window_loaded(
        &mut self,
        window: Window,
        loaded: Loaded,
        now: Instant,
    ) -> Vec<Event> {
        let events = self.dispatcher.loaded(window, loaded, &mut self.queue);
        let (paused, others): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|event| self.pauses.has(event));
        for event in &paused {
            self.dispatcher.not_sent(&event.event_ref);
            self.taken_while_paused(event, now);
        }
        others
    }

    /// Keeps events that were prefetched at `now`, but for those that are paused.
    pub(crate) fn prefetched(&mut self, mut events: Vec<Event>, now: Instant) {
        events.retain(|event| !self.pauses.has(event));
        self.dispatcher.set_prefetched(events, now);
    }

    /// An event that was taken is paused by now: its outcome is unknown, or it was not sent.
    pub(super) fn taken_while_paused(&mut self, event: &Event, now: Instant) {
        self.queue.pause_taken(event.event_ref.key, &[event.event_ref]);
        self.scanner.start_over(now);
    }

    /// A run ended after `last`. Its other events wait again, unless one of them was paused since.
    pub(super) fn run_interrupted(
        &mut self,
        last: &EventRef,
        unsent: &[Event],
        open: LaneSet,
        now: Instant,
    ) {
        let event_refs: Vec<EventRef> = unsent.iter().map(|event| event.event_ref).collect();
        let is_any_paused = unsent.iter().any(|event| self.pauses.has(event));
        if is_any_paused && open.has(lane(last.key)) {
            self.queue.run_interrupted(last, &[], open);
            self.queue.pause_taken(last.key, &event_refs);
            self.scanner.start_over(now);
        } else {
            self.queue.run_interrupted(last, &event_refs, open);
        }
    }
}
