//! Loads and sends the windows that the dispatcher decides on.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::tasks::Completion;
use crate::broker::Broker;
use crate::config::RelayArgs;
use crate::database::{Database, DatabaseError};
use crate::metrics;
use crate::publish::dispatcher::{Dispatch, PREFETCH_BYTES, SendOrder, WINDOW_BYTES, Window};
use crate::publish::load::{Loaded, Loader};
use crate::publish::message::MessageBuilder;
use crate::publish::window::Deadlines;
use crate::publish::{publish, publish_run};

/// What it takes to send, besides the decisions.
#[derive(Debug)]
pub(super) struct Sender {
    builder: Arc<MessageBuilder>,
    deadlines: Deadlines,
    loader: Loader,
    /// Cancelled when the lanes are lost, and then replaced.
    revoked: CancellationToken,
}

impl Sender {
    pub(super) fn new(args: &RelayArgs, deadlines: Deadlines) -> Self {
        Self {
            builder: Arc::new(MessageBuilder::new(args)),
            loader: Loader::default(),
            revoked: deadlines.stop.child_token(),
            deadlines,
        }
    }

    /// The lanes are lost: what is in flight is awaited, but nothing further of it is sent.
    pub(super) fn lose_lanes(&mut self) {
        self.revoked.cancel();
        self.revoked = self.deadlines.stop.child_token();
    }

    /// Begins windows while there are events, free channels and room for their bytes. Then, if
    /// nothing is left to be sent, prefetches the events behind those in flight.
    ///
    /// # Errors
    /// When the database can't be read; what was to be sent is back in the queue.
    pub(super) async fn send(
        &mut self,
        engine: &mut Engine,
        database: &Database,
        broker: &mut Broker,
        tasks: &mut JoinSet<Completion>,
    ) -> Result<(), DatabaseError> {
        let limits = self.builder.limits(broker.frame_max());
        while broker.has_free_channel() && engine.dispatcher.has_room() {
            let Engine { dispatcher, queue, .. } = &mut *engine;
            let Some(window) = dispatcher.take_window(queue, Instant::now()) else {
                break;
            };
            let loaded = match self.load(&window, database, broker.frame_max()).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    dispatcher.put_back(queue, window.into_event_refs());
                    return Err(error);
                }
            };
            let events = engine.window_loaded(window, loaded, Instant::now());
            if events.is_empty() {
                // Whatever goes on in the table, the next tick checks the lanes first.
                return Ok(());
            }
            // A relay that was frozen can't know for how long: the next tick asks whether the lanes
            // are still its own.
            let may_send = !self.revoked.is_cancelled() && database.session.is_alive();
            let Engine { dispatcher, queue, .. } = &mut *engine;
            let Some(publisher) = may_send.then(|| broker.take_channel()).flatten() else {
                dispatcher
                    .put_back(queue, events.into_iter().map(|event| event.event_ref).collect());
                return Ok(());
            };
            let Dispatch { events, order, progress } = dispatcher.start(events, queue);
            metrics::window(events.len());
            let (builder, deadlines) = (Arc::clone(&self.builder), self.deadlines.clone());
            let revoked = self.revoked.clone();
            tasks.spawn(async move {
                Completion::Published(match order {
                    SendOrder::Run => {
                        publish_run(publisher, builder, events, deadlines, revoked, progress).await
                    }
                    SendOrder::Window => {
                        publish(publisher, builder, events, deadlines, revoked).await
                    }
                })
            });
        }
        let event_refs = engine.dispatcher.to_prefetch(&engine.queue);
        if !event_refs.is_empty() {
            let begun = Instant::now();
            let loaded = self.loader.load(database, &event_refs, PREFETCH_BYTES, limits).await?;
            engine.prefetched(loaded.events, begun);
        }
        Ok(())
    }

    async fn load(
        &mut self,
        window: &Window,
        database: &Database,
        frame_max: usize,
    ) -> Result<Loaded, DatabaseError> {
        if window.unloaded.is_empty() {
            return Ok(Loaded::default());
        }
        let limits = self.builder.limits(frame_max);
        self.loader.load(database, &window.unloaded, WINDOW_BYTES, limits).await
    }
}
