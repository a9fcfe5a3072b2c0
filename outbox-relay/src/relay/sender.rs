//! Loads and sends the windows that the [`Dispatcher`] decides on.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Done;
use super::engine::Engine;
use crate::broker::Broker;
use crate::config::RelayArgs;
use crate::database::{Database, DatabaseError};
use crate::metrics;
use crate::publish::dispatcher::{AHEAD_BYTES, Dispatch, WINDOW_BYTES, Window};
use crate::publish::load::{Claimed, Loader};
use crate::publish::message::Form;
use crate::publish::window::Patience;
use crate::publish::{publish, publish_row};

/// What sending takes besides the decisions.
#[derive(Debug)]
pub(super) struct Sender {
    form: Arc<Form>,
    patience: Patience,
    loader: Loader,
    /// Cancelled when the lanes are lost.
    lost: CancellationToken,
}

impl Sender {
    pub(super) fn new(args: &RelayArgs, patience: Patience) -> Self {
        Self {
            form: Arc::new(Form::new(args)),
            loader: Loader::default(),
            lost: patience.stop.child_token(),
            patience,
        }
    }

    /// The lanes are lost: what is in flight is awaited, but nothing of it is sent once more.
    pub(super) fn lose_lanes(&mut self) {
        self.lost.cancel();
        self.lost = self.patience.stop.child_token();
    }

    /// Begins windows while there are events, free channels and room for their bytes; then, if nothing is left to be sent, loads what
    /// comes next behind the events in flight.
    ///
    /// # Errors
    /// When the database can't be read; what was to be sent is back in the queue.
    pub(super) async fn send(
        &mut self,
        engine: &mut Engine,
        database: &Database,
        broker: &mut Broker,
        tasks: &mut JoinSet<Done>,
    ) -> Result<(), DatabaseError> {
        let Engine { dispatcher, queue, .. } = engine;
        let limits = self.form.limits(broker.frame_max());
        while broker.has_free() && dispatcher.has_room() {
            let Some(window) = dispatcher.take_window(queue, Instant::now()) else {
                break;
            };
            let claimed = match self.load(&window, database, broker.frame_max()).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    dispatcher.put_back(queue, window.into_places());
                    return Err(error);
                }
            };
            let events = dispatcher.loaded(window, claimed, queue);
            if events.is_empty() {
                // Whatever goes on there, the next turn looks after the lanes first.
                return Ok(());
            }
            // A relay that was frozen does not know for how long: whether the lanes are still its own is asked again first.
            let may_send = !self.lost.is_cancelled() && database.claim.is_alive();
            let Some(publisher) = may_send.then(|| broker.take()).flatten() else {
                dispatcher.put_back(queue, events.into_iter().map(|event| event.place).collect());
                return Ok(());
            };
            let Dispatch { events, is_row } = dispatcher.begin(events, queue);
            metrics::window(events.len());
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
        let places = dispatcher.to_prefetch(queue);
        if !places.is_empty() {
            let begun = Instant::now();
            let claimed = self.loader.load(database, &places, AHEAD_BYTES, limits).await?;
            dispatcher.prefetched(claimed.events, begun);
        }
        Ok(())
    }

    async fn load(
        &mut self,
        window: &Window,
        database: &Database,
        frame_max: usize,
    ) -> Result<Claimed, DatabaseError> {
        if window.missing.is_empty() {
            return Ok(Claimed::default());
        }
        let limits = self.form.limits(frame_max);
        self.loader.load(database, &window.missing, WINDOW_BYTES, limits).await
    }
}
