//! The windows in flight: which events go into the next one, and how much may be under way.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

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
use crate::window::Patience;

/// Bytes of payload, as text, after which a window takes no further event; one big event still goes.
const WINDOW_BYTES: i64 = 1 << 20;

/// Bytes of payload in flight after which no window is begun.
const FLIGHT_BYTES: i64 = 4 << 20;

/// Events, and bytes of their payload, that are loaded while the one ahead of them is in flight.
const AHEAD: usize = 32;
const AHEAD_BYTES: i64 = 256 << 10;

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
    /// What was loaded ahead, by id.
    ahead: HashMap<i64, Event>,
    /// Cancelled when the lanes are lost.
    lost: CancellationToken,
}

impl Flight {
    pub(crate) fn new(args: &RelayArgs, patience: Patience) -> Self {
        Self {
            form: Arc::new(Form::new(args)),
            window: usize::try_from(args.relay_window).unwrap_or(usize::MAX),
            loader: Loader::default(),
            bytes: 0,
            ahead: HashMap::new(),
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
    pub(crate) const fn landed(&mut self, event: &Event) {
        self.bytes -= event.place.size;
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
        let limits = self.form.limits(broker.frame_max());
        while queue.ready() > 0 && broker.has_free() && self.bytes < FLIGHT_BYTES {
            let places = queue.take(self.window, WINDOW_BYTES);
            let mut events = match self.load(places, queue, database, limits).await {
                Ok(events) => events,
                Err((places, error)) => {
                    put_back(queue, places);
                    return Err(error);
                }
            };
            // A relay that was frozen does not know for how long: whether the lanes are still its own is asked again first.
            if self.lost.is_cancelled() || !database.claim.is_alive() {
                put_back(queue, events.into_iter().map(|event| event.place).collect());
                return Ok(());
            }
            if events.is_empty() {
                // Whatever goes on there, the next turn looks after the lanes first.
                return Ok(());
            }
            let Some(publisher) = broker.take() else {
                put_back(queue, events.into_iter().map(|event| event.place).collect());
                return Ok(());
            };
            let row = match events.as_slice() {
                [alone] => self.loaded_behind(&alone.place, queue),
                _ => Vec::new(),
            };
            let is_row = !row.is_empty();
            events.extend(row);
            self.bytes += events.iter().map(|event| event.place.size).sum::<i64>();
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
        put_back(queue, left);
        for place in &gone {
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
            let claimed = self.loader.load(database, &places, AHEAD_BYTES, limits).await?;
            self.ahead = claimed.events.into_iter().map(|event| (event.place.id, event)).collect();
        }
        Ok(())
    }
}

/// In their order, to the front.
fn put_back(queue: &mut Queue, places: Vec<Place>) {
    for place in places.into_iter().rev() {
        queue.put_back(place);
    }
}
