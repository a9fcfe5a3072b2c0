//! Decides which events go into the next window, and how many may be in flight.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::config::RelayArgs;
use crate::publish::event::Event;
use crate::publish::load::Loaded;
use crate::publish::quarantine::Quarantine;
use crate::publish::sent::Sent;
use crate::publish::slow_start::SlowStart;
use crate::publish::stage::RunProgress;
use crate::publish::verdict::Verdict;
use crate::publish::window::Loss;
use crate::queue::{EventRef, Queue};

/// Bytes of payload, as text, after which a window takes no further event; one big event still
/// goes.
pub(crate) const WINDOW_BYTES: i64 = 1 << 20;

/// Bytes of payload in flight after which no window is begun.
const IN_FLIGHT_BYTES: i64 = 4 << 20;

/// How many events, and bytes of their payload, are prefetched: loaded while the event ahead of
/// them is in flight.
const PREFETCH_EVENTS: usize = 32;
pub(crate) const PREFETCH_BYTES: i64 = 256 << 10;

/// How long prefetched events may be used: a change that a person makes meanwhile is not seen.
const PREFETCH_MAX_AGE: Duration = Duration::from_secs(1);

/// Events that were taken to be sent.
#[derive(Debug)]
pub(crate) struct Window {
    /// Those that were prefetched.
    events: Vec<Event>,
    /// Those that are yet to be loaded.
    pub(crate) unloaded: Vec<EventRef>,
}

impl Window {
    /// All its events, which are not sent after all.
    pub(crate) fn into_event_refs(self) -> Vec<EventRef> {
        self.unloaded
            .into_iter()
            .chain(self.events.into_iter().map(|event| event.event_ref))
            .collect()
    }
}

/// Events that are sent together.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) events: Vec<Event>,
    pub(crate) order: SendOrder,
    /// Counts, of a run, what has been sent.
    pub(crate) progress: RunProgress,
}

/// How the events of a [`Dispatch`] are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendOrder {
    /// All at once: at most one of each aggregate where order matters.
    Window,
    /// They follow each other in one aggregate: each is sent when the one ahead is confirmed.
    Run,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Dispatcher {
    /// The most events of a window: `RELAY_WINDOW`.
    window: usize,
    /// Bytes in flight.
    bytes: i64,
    /// Events in flight.
    events: usize,
    /// Limits the events in flight after a confirm timeout.
    slow_start: SlowStart,
    /// Events that are not sent together with others.
    quarantine: Quarantine,
    /// Events that were loaded while the ones ahead of them were in flight, by id.
    prefetched: HashMap<i64, Event>,
    /// When the oldest of them was loaded.
    prefetched_at: Instant,
    /// Events for which a change that a person makes now comes too late.
    pub(crate) sent: Sent,
}

impl Dispatcher {
    pub(crate) fn new(args: &RelayArgs, now: Instant) -> Self {
        let window = usize::try_from(args.relay_window).unwrap_or(usize::MAX);
        let channels = usize::try_from(args.relay_channels).unwrap_or(usize::MAX);
        Self {
            window,
            bytes: 0,
            events: 0,
            slow_start: SlowStart::new(window.saturating_mul(channels)),
            quarantine: Quarantine::new(window),
            prefetched: HashMap::new(),
            prefetched_at: now,
            sent: Sent::default(),
        }
    }

    /// Drops the prefetched events: they may not be needed, or have changed.
    pub(crate) fn clear_prefetched(&mut self) {
        self.prefetched.clear();
    }

    /// A window or run has ended, with one verdict for each of `events`; those of `unsent` were not
    /// sent. Adapts what is sent next to that.
    pub(crate) fn window_ended(
        &mut self,
        events: &[Event],
        verdicts: &[Verdict],
        unsent: &[Event],
        lost: Option<&Loss>,
    ) {
        self.sent.window_ended(events, verdicts, unsent);
        self.quarantine.window_ended(events, verdicts, lost);
        match lost {
            Some(Loss::Unconfirmed(_)) => self.slow_start.unconfirmed(),
            None if verdicts.iter().all(|verdict| *verdict == Verdict::Published) => {
                self.slow_start.confirmed();
            }
            _ => (),
        }
        for event in events.iter().chain(unsent) {
            self.bytes -= event.event_ref.size;
            self.events -= 1;
            self.quarantine.completed(event.event_ref.id);
        }
    }

    /// Whether the bytes in flight allow another window.
    pub(crate) const fn has_room(&self) -> bool {
        self.bytes < IN_FLIGHT_BYTES
    }

    /// Takes the events of the next window out of the queue; `None` when nothing may be sent. The
    /// unloaded ones are to be loaded: [`loaded`](Self::loaded) or [`put_back`](Self::put_back) has
    /// to follow.
    pub(crate) fn take_window(&mut self, queue: &mut Queue, now: Instant) -> Option<Window> {
        if now.duration_since(self.prefetched_at) >= PREFETCH_MAX_AGE {
            self.clear_prefetched();
        }
        let event_refs = self.take(queue);
        if event_refs.is_empty() {
            return None;
        }
        let mut window =
            Window { events: Vec::with_capacity(event_refs.len()), unloaded: Vec::new() };
        for event_ref in event_refs {
            match self.prefetched.remove(&event_ref.id) {
                Some(event) => window.events.push(event),
                None => window.unloaded.push(event_ref),
            }
        }
        Some(window)
    }

    /// Completes a window by its unloaded events, as far as they are pending and there was room for
    /// them. The others go back to the queue.
    pub(crate) fn loaded(
        &mut self,
        window: Window,
        loaded: Loaded,
        queue: &mut Queue,
    ) -> Vec<Event> {
        let Loaded { events: loaded, deferred, gone } = loaded;
        let mut events = window.events;
        events.extend(loaded);
        for event in events.iter().filter(|event| event.attempts > 0) {
            queue.mark_retried(&event.event_ref);
        }
        self.put_back(queue, deferred);
        for event_ref in &gone {
            self.quarantine.completed(event_ref.id);
            queue.gone(event_ref);
        }
        if events.len() > 1 {
            events = self.quarantine_refused(queue, events);
        }
        events
    }

    /// An event that was taken is neither sent nor put back.
    pub(crate) fn not_sent(&mut self, event_ref: &EventRef) {
        self.quarantine.completed(event_ref.id);
    }

    /// Counts `events` as in flight. A single one is followed by the prefetched events right behind
    /// it.
    pub(crate) fn start(&mut self, mut events: Vec<Event>, queue: &mut Queue) -> Dispatch {
        let run = match events.as_slice() {
            [alone]
                if !self.quarantine.contains(alone.event_ref.id) && !self.slow_start.is_on() =>
            {
                self.take_prefetched_run(&alone.event_ref, queue)
            }
            _ => Vec::new(),
        };
        let order = if run.is_empty() { SendOrder::Window } else { SendOrder::Run };
        events.extend(run);
        self.events += events.len();
        self.bytes += events.iter().map(|event| event.event_ref.size).sum::<i64>();
        let progress = RunProgress::default();
        match order {
            SendOrder::Window => self.sent.start(&events),
            SendOrder::Run => self.sent.start_run(&events, progress.clone()),
        }
        Dispatch { events, order, progress }
    }

    /// Takes the events of the next window: quarantined ones or others, never both. While slow
    /// start allows little, one place is left to the others, so that they are sent whatever becomes
    /// of the quarantined ones.
    fn take(&mut self, queue: &mut Queue) -> Vec<EventRef> {
        let room = self.slow_start.room(self.events);
        loop {
            let for_others = usize::from(queue.ready() > 0);
            let quarantined =
                self.quarantine.take_window(queue, room.saturating_sub(for_others), WINDOW_BYTES);
            if !quarantined.is_empty() {
                return quarantined;
            }
            let taken = queue.take(self.window.min(room), WINDOW_BYTES);
            let (quarantined, others): (Vec<_>, Vec<_>) =
                taken.into_iter().partition(|event_ref| self.quarantine.contains(event_ref.id));
            let is_done = quarantined.is_empty() || !others.is_empty();
            for event_ref in quarantined {
                queue.quarantine(event_ref);
            }
            if is_done {
                return others;
            }
        }
    }

    /// Leaves out events that the broker refused before: over them it would close the channel on
    /// the others.
    fn quarantine_refused(&mut self, queue: &mut Queue, events: Vec<Event>) -> Vec<Event> {
        let (refused, others): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|event| event.refusals.was_refused);
        for event in refused {
            self.quarantine.add_refused(event.event_ref.id);
            self.quarantine.completed(event.event_ref.id);
            queue.quarantine(event.event_ref);
        }
        others
    }

    /// Puts events that were taken back into the queue: to the front, in their order; quarantined
    /// ones to the end.
    pub(crate) fn put_back(&mut self, queue: &mut Queue, event_refs: Vec<EventRef>) {
        for event_ref in event_refs.into_iter().rev() {
            if self.quarantine.completed(event_ref.id) {
                queue.quarantine(event_ref);
            } else {
                queue.put_back(event_ref);
            }
        }
    }

    /// Takes the prefetched events right behind one that goes alone, so that a busy aggregate waits
    /// for its confirms only and not for the relay's next tick as well.
    fn take_prefetched_run(&mut self, event_ref: &EventRef, queue: &mut Queue) -> Vec<Event> {
        let event_refs = queue.take_run(event_ref, |next| self.prefetched.contains_key(&next.id));
        event_refs.iter().filter_map(|event_ref| self.prefetched.remove(&event_ref.id)).collect()
    }

    /// The events to prefetch, if nothing else is left to be sent.
    pub(crate) fn to_prefetch(&self, queue: &Queue) -> Vec<EventRef> {
        if queue.ready() > 0 || !self.prefetched.is_empty() {
            return Vec::new();
        }
        queue.peek_next(PREFETCH_EVENTS, PREFETCH_BYTES)
    }

    /// Keeps events that were prefetched at `now`.
    pub(crate) fn set_prefetched(&mut self, events: Vec<Event>, now: Instant) {
        self.prefetched_at = now;
        self.prefetched = events.into_iter().map(|event| (event.event_ref.id, event)).collect();
    }
}
