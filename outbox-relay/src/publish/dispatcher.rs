//! Decides which events go into the next window, and how many may be in flight.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::config::RelayArgs;
use crate::publish::event::Event;
use crate::publish::load::Claimed;
use crate::publish::quarantine::Apart;
use crate::publish::sent::Sent;
use crate::publish::slow_start::SlowStart;
use crate::publish::verdict::Verdict;
use crate::publish::window::Loss;
use crate::queue::{Place, Queue};

/// Bytes of payload, as text, after which a window takes no further event; one big event still goes.
pub(crate) const WINDOW_BYTES: i64 = 1 << 20;

/// Bytes of payload in flight after which no window is begun.
const FLIGHT_BYTES: i64 = 4 << 20;

/// Events, and bytes of their payload, that are loaded while the one ahead of them is in flight.
const AHEAD: usize = 32;
pub(crate) const AHEAD_BYTES: i64 = 256 << 10;

/// How long they are kept: what somebody changes in the table meanwhile is not seen.
const AHEAD_AGE: Duration = Duration::from_secs(1);

/// Events that were taken to be sent.
#[derive(Debug)]
pub(crate) struct Window {
    /// Those that were loaded ahead.
    events: Vec<Event>,
    /// Those that are yet to be loaded.
    pub(crate) missing: Vec<Place>,
}

impl Window {
    /// All its events, which are not sent after all.
    pub(crate) fn into_places(self) -> Vec<Place> {
        self.missing.into_iter().chain(self.events.into_iter().map(|event| event.place)).collect()
    }
}

/// Events that are sent.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) events: Vec<Event>,
    /// They follow each other in one aggregate: each is sent when the one ahead is confirmed.
    pub(crate) is_row: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Dispatcher {
    /// Events in a window at the most.
    window: usize,
    /// Bytes in flight.
    bytes: i64,
    /// Events in flight.
    events: usize,
    slow_start: SlowStart,
    apart: Apart,
    /// What was loaded ahead, by id.
    ahead: HashMap<i64, Event>,
    /// When the oldest of it was.
    loaded_ahead: Instant,
    /// What is or was with the broker.
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
            apart: Apart::new(window),
            ahead: HashMap::new(),
            loaded_ahead: now,
            sent: Sent::default(),
        }
    }

    /// What was loaded ahead may not be needed, or not as it was.
    pub(crate) fn forget_ahead(&mut self) {
        self.ahead.clear();
    }

    /// What became of the event is known.
    pub(crate) fn landed(&mut self, event: &Event) {
        self.bytes -= event.place.size;
        self.events -= 1;
        self.apart.landed(event.place.id);
    }

    /// A window has ended.
    pub(crate) fn ended(&mut self, events: &[Event], verdicts: &[Verdict], lost: Option<&Loss>) {
        self.apart.ended(events, verdicts, lost);
        match lost {
            Some(Loss::Unconfirmed(_)) => self.slow_start.unconfirmed(),
            None if verdicts.iter().all(|verdict| *verdict == Verdict::Published) => {
                self.slow_start.confirmed();
            }
            _ => (),
        }
    }

    /// Whether another window may be begun, as far as the bytes in flight go.
    pub(crate) const fn has_room(&self) -> bool {
        self.bytes < FLIGHT_BYTES
    }

    /// Takes the events of the next window out of the queue; `None` when nothing may be sent. What is missing is
    /// loaded, and goes to [`loaded`](Self::loaded) or [`put_back`](Self::put_back).
    pub(crate) fn take_window(&mut self, queue: &mut Queue, now: Instant) -> Option<Window> {
        if now.duration_since(self.loaded_ahead) >= AHEAD_AGE {
            self.forget_ahead();
        }
        let places = self.take(queue);
        if places.is_empty() {
            return None;
        }
        let mut window = Window { events: Vec::with_capacity(places.len()), missing: Vec::new() };
        for place in places {
            match self.ahead.remove(&place.id) {
                Some(event) => window.events.push(event),
                None => window.missing.push(place),
            }
        }
        Some(window)
    }

    /// The missing events of a window were loaded, as far as they are pending and there is room for them; the others go back to the queue.
    pub(crate) fn loaded(
        &mut self,
        window: Window,
        claimed: Claimed,
        queue: &mut Queue,
    ) -> Vec<Event> {
        let Claimed { events: loaded, left, gone } = claimed;
        let mut events = window.events;
        events.extend(loaded);
        for event in events.iter().filter(|event| event.attempts > 0) {
            queue.failed_before(&event.place);
        }
        self.put_back(queue, left);
        for place in &gone {
            self.apart.landed(place.id);
            queue.gone(place);
        }
        if events.len() > 1 {
            events = self.set_apart(queue, events);
        }
        events
    }

    /// The `events` are sent now, and perhaps others right behind them in a row.
    pub(crate) fn begin(&mut self, mut events: Vec<Event>, queue: &mut Queue) -> Dispatch {
        let row = match events.as_slice() {
            [alone] if !self.apart.has(alone.place.id) && !self.slow_start.is_on() => {
                self.loaded_behind(&alone.place, queue)
            }
            _ => Vec::new(),
        };
        let is_row = !row.is_empty();
        events.extend(row);
        self.events += events.len();
        self.bytes += events.iter().map(|event| event.place.size).sum::<i64>();
        self.sent.begin(&events);
        Dispatch { events, is_row }
    }

    /// What goes into the next window: some that go apart, or others. While little may be sent the others come first, so that they are sent
    /// whatever becomes of those.
    fn take(&mut self, queue: &mut Queue) -> Vec<Place> {
        let room = self.slow_start.room(self.events);
        loop {
            let for_others = usize::from(queue.ready() > 0);
            let apart = self.apart.take(queue, room.saturating_sub(for_others), WINDOW_BYTES);
            if !apart.is_empty() {
                return apart;
            }
            let taken = queue.take(self.window.min(room), WINDOW_BYTES);
            let (apart, others): (Vec<_>, Vec<_>) =
                taken.into_iter().partition(|place| self.apart.has(place.id));
            let is_done = apart.is_empty() || !others.is_empty();
            for place in apart {
                queue.set_apart(place);
            }
            if is_done {
                return others;
            }
        }
    }

    /// Leaves out events that the broker refused before: for them it would close the channel on the others.
    fn set_apart(&mut self, queue: &mut Queue, events: Vec<Event>) -> Vec<Event> {
        let (refused, others): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|event| event.refusals.was_refused);
        for event in refused {
            self.apart.refused(event.place.id);
            self.apart.landed(event.place.id);
            queue.set_apart(event.place);
        }
        others
    }

    /// Puts events that were taken back into the queue: in their order, to the front; those that go apart, to the end.
    pub(crate) fn put_back(&mut self, queue: &mut Queue, places: Vec<Place>) {
        for place in places.into_iter().rev() {
            if self.apart.landed(place.id) {
                queue.set_apart(place);
            } else {
                queue.put_back(place);
            }
        }
    }

    /// The events right behind one that goes alone, as far as they were loaded ahead: a busy aggregate waits for its confirms, and not for
    /// the relay's turn as well.
    fn loaded_behind(&mut self, place: &Place, queue: &mut Queue) -> Vec<Event> {
        let places = queue.follow(place, |next| self.ahead.contains_key(&next.id));
        places.iter().filter_map(|place| self.ahead.remove(&place.id)).collect()
    }

    /// Events to be loaded while the ones ahead of them are in flight, if nothing else is left to be sent.
    pub(crate) fn to_prefetch(&self, queue: &Queue) -> Vec<Place> {
        if queue.ready() > 0 || !self.ahead.is_empty() {
            return Vec::new();
        }
        queue.upcoming(AHEAD, AHEAD_BYTES)
    }

    /// These were loaded ahead.
    pub(crate) fn prefetched(&mut self, events: Vec<Event>, now: Instant) {
        self.loaded_ahead = now;
        self.ahead = events.into_iter().map(|event| (event.place.id, event)).collect();
    }
}
