//! The windows in flight: which events go into the next one, and how much may be under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::apart::Apart;
use crate::broker::Broker;
use crate::claim::{Event, Limits};
use crate::config::RelayArgs;
use crate::database::{Database, DatabaseError};
use crate::load::{Claimed, Loader};
use crate::measure;
use crate::message::Form;
use crate::publish::{publish, publish_row};
use crate::queue::{Place, Queue};
use crate::relay::Done;
use crate::sent::Sent;
use crate::slow_start::SlowStart;
use crate::verdict::Verdict;
use crate::window::{Loss, Patience};

/// Bytes of payload, as text, after which a window takes no further event; one big event still goes.
const WINDOW_BYTES: i64 = 1 << 20;

/// Bytes of payload in flight after which no window is begun.
const FLIGHT_BYTES: i64 = 4 << 20;

/// Events, and bytes of their payload, that are loaded while the one ahead of them is in flight.
const AHEAD: usize = 32;
const AHEAD_BYTES: i64 = 256 << 10;

/// How long they are kept: what somebody changes in the table meanwhile is not seen.
const AHEAD_AGE: Duration = Duration::from_secs(1);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Flight {
    form: Arc<Form>,
    patience: Patience,
    /// Events in a window at the most.
    window: usize,
    loader: Loader,
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
    /// Cancelled when the lanes are lost.
    lost: CancellationToken,
}

impl Flight {
    pub(crate) fn new(args: &RelayArgs, patience: Patience) -> Self {
        let window = usize::try_from(args.relay_window).unwrap_or(usize::MAX);
        let channels = usize::try_from(args.relay_channels).unwrap_or(usize::MAX);
        Self {
            form: Arc::new(Form::new(args)),
            window,
            loader: Loader::default(),
            bytes: 0,
            events: 0,
            slow_start: SlowStart::new(window.saturating_mul(channels)),
            apart: Apart::new(window),
            ahead: HashMap::new(),
            loaded_ahead: Instant::now(),
            sent: Sent::default(),
            lost: patience.stop.child_token(),
            patience,
        }
    }

    /// The lanes are lost: what is in flight is awaited, but nothing of it is sent once more.
    pub(crate) fn lose_lanes(&mut self) {
        self.lost.cancel();
        self.lost = self.patience.stop.child_token();
        self.ahead.clear();
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

    /// Begins windows while there are events, free channels and room for their bytes; then, if nothing is left to be sent, loads what
    /// comes next behind the events in flight.
    pub(crate) async fn begin(
        &mut self,
        queue: &mut Queue,
        database: &Database,
        broker: &mut Broker,
        tasks: &mut JoinSet<Done>,
    ) -> Result<(), DatabaseError> {
        if self.loaded_ahead.elapsed() >= AHEAD_AGE {
            self.forget_ahead();
        }
        let limits = self.form.limits(broker.frame_max());
        while broker.has_free() && self.bytes < FLIGHT_BYTES {
            let places = self.take(queue);
            if places.is_empty() {
                break;
            }
            let mut events = match self.load(places, queue, database, limits).await {
                Ok(events) => events,
                Err((places, error)) => {
                    self.put_back(queue, places);
                    return Err(error);
                }
            };
            // A relay that was frozen does not know for how long: whether the lanes are still its own is asked again first.
            if self.lost.is_cancelled() || !database.claim.is_alive() {
                self.put_back(queue, events.into_iter().map(|event| event.place).collect());
                return Ok(());
            }
            if events.len() > 1 {
                events = self.set_apart(queue, events);
            }
            if events.is_empty() {
                // Whatever goes on there, the next turn looks after the lanes first.
                return Ok(());
            }
            let Some(publisher) = broker.take() else {
                self.put_back(queue, events.into_iter().map(|event| event.place).collect());
                return Ok(());
            };
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
            measure::window(events.len());
            let (form, patience) = (Arc::clone(&self.form), self.patience.clone());
            let lost = self.lost.clone();
            tasks.spawn(async move {
                Done::Published(if is_row {
                    publish_row(publisher, form, events, patience, lost).await
                } else {
                    publish(publisher, form, events, patience, lost).await
                })
            });
        }
        if queue.ready() == 0 && self.ahead.is_empty() {
            self.load_ahead(queue, database, limits).await?;
        }
        Ok(())
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

    /// In their order, to the front; those that go apart, to the end.
    fn put_back(&mut self, queue: &mut Queue, places: Vec<Place>) {
        for place in places.into_iter().rev() {
            if self.apart.landed(place.id) {
                queue.set_apart(place);
            } else {
                queue.put_back(place);
            }
        }
    }

    /// The events at `places`, as far as they are pending and there is room for them; the others go back to the queue.
    async fn load(
        &mut self,
        places: Vec<Place>,
        queue: &mut Queue,
        database: &Database,
        limits: Limits,
    ) -> Result<Vec<Event>, (Vec<Place>, DatabaseError)> {
        let mut events = Vec::with_capacity(places.len());
        let mut missing = Vec::new();
        for place in &places {
            match self.ahead.remove(&place.id) {
                Some(event) => events.push(event),
                None => missing.push(*place),
            }
        }
        if missing.is_empty() {
            return Ok(events);
        }
        let claimed = self.loader.load(database, &missing, WINDOW_BYTES, limits).await;
        let Claimed { events: loaded, left, gone } = claimed.map_err(|error| (places, error))?;
        events.extend(loaded);
        self.put_back(queue, left);
        for place in &gone {
            self.apart.landed(place.id);
            queue.gone(place);
        }
        Ok(events)
    }

    /// The events right behind one that goes alone, as far as they were loaded ahead: a busy aggregate waits for its confirms, and not for
    /// the relay's turn as well.
    fn loaded_behind(&mut self, place: &Place, queue: &mut Queue) -> Vec<Event> {
        let places = queue.follow(place, |next| self.ahead.contains_key(&next.id));
        places.iter().filter_map(|place| self.ahead.remove(&place.id)).collect()
    }

    async fn load_ahead(
        &mut self,
        queue: &Queue,
        database: &Database,
        limits: Limits,
    ) -> Result<(), DatabaseError> {
        let places = queue.upcoming(AHEAD, AHEAD_BYTES);
        if !places.is_empty() {
            self.loaded_ahead = Instant::now();
            let claimed = self.loader.load(database, &places, AHEAD_BYTES, limits).await?;
            self.ahead = claimed.events.into_iter().map(|event| (event.place.id, event)).collect();
        }
        Ok(())
    }
}
