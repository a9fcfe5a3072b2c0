//! Channels.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, channel, confirm};
use amq_protocol::types::ShortString;
use tokio::sync::Notify;

use super::Connection;
use super::confirms::{Confirms, Outcome, Return};
use super::connection::Shared;
use super::deliveries::Deliveries;
use super::failure::Failure;
use super::heard::{Depth, Goodbye};
use super::message::Message;

/// What is known of a channel.
#[derive(Debug, Default)]
pub(super) struct State {
    known: Mutex<Known>,
    /// For the one that uses the channel.
    news: Notify,
    /// For the one that reads what the broker delivers.
    pub(super) room: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    /// The broker was asked to open the channel.
    pub(super) is_requested: bool,
    /// Nobody uses the channel any more.
    pub(super) is_closing: bool,
    /// The broker was asked to close it.
    pub(super) is_close_sent: bool,
    /// The request under way is done.
    pub(super) answered: bool,
    /// The broker was asked to deliver the messages of a queue.
    pub(super) is_consuming: bool,
    /// Of the queue that was asked for last.
    pub(super) depth: Depth,
    /// The broker has closed the channel.
    pub(super) closed: Option<Goodbye>,
    pub(super) confirms: Confirms,
    pub(super) deliveries: Deliveries,
    /// The message that is coming, if it is one that comes back.
    pub(super) returning: Option<Return>,
}

impl Known {
    /// Whether the channel's number will be free before long.
    pub(super) const fn is_ending(&self) -> bool {
        self.is_closing || self.closed.is_some()
    }
}

impl State {
    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) {
        self.news.notify_one();
    }
}

/// A channel of a [`Connection`], on which one thing at a time is under way: a request, a window of messages, or consuming.
#[derive(Debug)]
pub struct Channel {
    shared: Arc<Shared>,
    pub(super) state: Arc<State>,
    id: u16,
}

impl Channel {
    /// Opens a channel.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn open(connection: &Connection) -> Result<Self, Failure> {
        let shared = Arc::clone(&connection.shared);
        let state = Arc::<State>::default();
        let id = shared.add_channel(&state).await.map_err(Failure::Lost)?;
        let channel = Self { shared, state, id };
        let open = AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}));
        channel.shared.send(id, open).await.map_err(Failure::Lost)?;
        channel.state.lock().is_requested = true;
        channel.wait_until(|known| known.answered).await?;
        Ok(channel)
    }

    /// Has the broker confirm messages from now on.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn confirm(&self) -> Result<(), Failure> {
        let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
        self.ask(AMQPClass::Confirm(select)).await
    }

    /// Closes the channel. What was acknowledged before on a channel that consumes does not come back: RabbitMQ hands a quorum queue no more than 33
    /// acknowledgements that this has not dealt with, keeps the others back, and would forget those when the channel ends; before it ends a consumer
    /// it waits for the queue.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn close(&self) -> Result<(), Failure> {
        self.give_up_deliveries();
        if std::mem::take(&mut self.state.lock().is_consuming) {
            // Whatever comes of it, the channel has to be closed.
            self.cancel().await.ok();
        }
        if let Some(refusal) = self.refusal() {
            return Err(Failure::Refused(refusal));
        }
        self.state.lock().answered = false;
        self.shared.close_channel(self.id, &self.state);
        self.wait_until(|known| known.answered).await
    }

    /// Whether it can be used, as far as is known.
    pub fn is_open(&self) -> bool {
        self.shared.ended().is_none() && self.state.lock().closed.is_none()
    }

    /// Sends `messages`, each mandatory, and waits until the broker has told of all of them. Whatever comes of that, and should the wait
    /// be given up, [`outcomes`](Self::outcomes) tells what is known of each.
    pub async fn publish(
        &self,
        exchange: &ShortString,
        messages: &[impl AsRef<Message>],
    ) -> Result<(), Failure> {
        self.state.lock().confirms.begin(messages.len());
        self.send(exchange, messages).await.map_err(|error| {
            let lost = self.shared.failed(&error);
            self.refusal().map_or_else(|| self.lost(lost), Failure::Refused)
        })?;
        self.wait_until(|known| known.confirms.are_complete()).await
    }

    /// What became of the `messages` that were published last; none for those of which nothing is known.
    pub fn outcomes(&self, messages: &[impl AsRef<Message>]) -> Vec<Option<Outcome>> {
        self.state.lock().confirms.outcomes(messages)
    }

    pub(super) async fn send(
        &self,
        exchange: &ShortString,
        messages: &[impl AsRef<Message>],
    ) -> Result<(), std::io::Error> {
        let mut writer = self.shared.writer.lock().await;
        for message in messages {
            // The broker takes no notice of what it gets after that.
            if !self.is_open() {
                break;
            }
            writer.publish(self.id, exchange.as_str(), message.as_ref()).await?;
        }
        writer.flush().await
    }

    /// Sends a request and waits for the answer.
    pub(super) async fn ask(&self, request: AMQPClass) -> Result<(), Failure> {
        self.state.lock().answered = false;
        self.tell(request).await?;
        self.wait_until(|known| known.answered).await
    }

    /// Sends a method. The broker ends the whole connection over what comes over a channel whose end was acknowledged; that goes by the
    /// same lock, after the end is known here.
    pub(super) async fn tell(&self, method: AMQPClass) -> Result<(), Failure> {
        let mut writer = self.shared.writer.lock().await;
        if let Some(refusal) = self.refusal() {
            return Err(Failure::Refused(refusal));
        }
        let sent = writer.send(&AMQPFrame::Method(self.id, method)).await;
        drop(writer);
        sent.map_err(|error| {
            let lost = self.shared.failed(&error);
            self.lost(lost)
        })
    }

    /// What the queue holds that was declared last.
    pub(super) fn last_depth(&self) -> Depth {
        self.state.lock().depth
    }

    pub(super) async fn wait_until(&self, is_done: impl Fn(&Known) -> bool) -> Result<(), Failure> {
        loop {
            let news = self.state.news.notified();
            if is_done(&self.state.lock()) {
                return Ok(());
            }
            if let Some(refusal) = self.refusal() {
                return Err(Failure::Refused(refusal));
            }
            if let Some(reason) = self.shared.ended() {
                return Err(self.lost(reason.to_owned()));
            }
            if self.state.lock().deliveries.is_cancelled {
                let reason = "the broker ended the consumer: was the queue deleted?";
                return Err(Failure::Lost(reason.to_owned()));
            }
            news.await;
        }
    }

    /// Nobody takes them any more: what the broker says further is read nevertheless.
    fn give_up_deliveries(&self) {
        self.state.lock().deliveries.give_up();
        self.state.room.notify_one();
    }

    fn lost(&self, reason: String) -> Failure {
        self.shared.closed.get().cloned().map_or(Failure::Lost(reason), Failure::Closed)
    }

    fn refusal(&self) -> Option<Goodbye> {
        self.state.lock().closed.clone()
    }
}

impl Drop for Channel {
    /// Has the broker close the channel as well.
    fn drop(&mut self) {
        self.give_up_deliveries();
        self.shared.close_channel(self.id, &self.state);
    }
}

/// Says goodbye to a channel.
pub(super) fn close() -> AMQPClass {
    const SUCCESS: u16 = 200;
    AMQPClass::Channel(channel::AMQPMethod::Close(channel::Close {
        reply_code: SUCCESS,
        reply_text: "OK".into(),
        class_id: 0,
        method_id: 0,
    }))
}

/// Answers the broker's goodbye.
pub(super) fn close_ok() -> AMQPClass {
    AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))
}
