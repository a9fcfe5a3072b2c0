//! A channel of a connection: requests, publishing, and waiting for the broker's answers.

use std::sync::Arc;

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, channel, confirm};
use amq_protocol::types::ShortString;

use super::Connection;
use super::channel_state::{ChannelState, Inner};
use super::confirms::Outcome;
use super::connection::Shared;
use super::failure::Failure;
use super::message::Message;
use super::method::{CloseReason, QueueDepth};

/// A channel of a [`Connection`]. It does one thing at a time: a request, a window of messages, or
/// consuming.
#[derive(Debug)]
pub struct Channel {
    shared: Arc<Shared>,
    pub(super) state: Arc<ChannelState>,
    id: u16,
}

impl Channel {
    /// Opens a channel.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn open(connection: &Connection) -> Result<Self, Failure> {
        let shared = Arc::clone(&connection.shared);
        let state = Arc::<ChannelState>::default();
        let id = shared.add_channel(&state).await?;
        let channel = Self { shared, state, id };
        let open = AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}));
        channel.shared.send(id, open).await.map_err(Failure::Lost)?;
        channel.state.lock().is_requested = true;
        channel.wait_until(|known| known.answered).await?;
        Ok(channel)
    }

    /// Turns on publisher confirms.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn confirm(&self) -> Result<(), Failure> {
        let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
        self.request(AMQPClass::Confirm(select)).await
    }

    /// Has returned messages recognised by the value of `header`, a long string, instead of their
    /// `message_id`: for messages that others have made, of which several may have the same one or
    /// none. Each message has to have the header, and its value as [`Message::message_id`].
    pub fn recognize_returns_by(&self, header: &'static str) {
        self.state.lock().return_header = Some(header);
    }

    /// Closes the channel; if it consumes, cancels its consumer first, so that no acknowledgement
    /// is lost. RabbitMQ passes at most 33 pending acknowledgements to a quorum queue, holds the
    /// rest back, and forgets them when the channel ends; before it ends a consumer it waits for
    /// the queue.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn close(&self) -> Result<(), Failure> {
        self.discard_deliveries();
        if std::mem::take(&mut self.state.lock().is_consuming) {
            // The channel has to be closed even if this fails.
            self.cancel().await.ok();
        }
        if let Some(refusal) = self.refusal() {
            return Err(Failure::Refused(refusal));
        }
        self.state.lock().answered = false;
        self.shared.close_channel(self.id, &self.state);
        self.wait_until(|known| known.answered).await
    }

    /// Returns true if neither the channel nor its connection is known to be closed.
    pub fn is_open(&self) -> bool {
        self.shared.ended().is_none() && self.state.lock().closed.is_none()
    }

    /// Waits until the channel is of no more use, and returns why: the broker closed it or ended its
    /// consumer, or the connection is over. Cancel safe.
    pub async fn closed(&self) -> Failure {
        loop {
            if let Err(failure) = self.wait_until(|_| false).await {
                return failure;
            }
        }
    }

    /// Publishes `messages`, each mandatory, and waits until all are confirmed or nacked. Those that
    /// name no exchange go to `exchange`. [`outcomes`](Self::outcomes) returns what is known of
    /// each, also after an error or if this future is dropped.
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

    /// Returns the outcomes of the `messages` that were published last; `None` where it is unknown.
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
            // The broker ignores what follows on a closed channel.
            if !self.is_open() {
                break;
            }
            let message = message.as_ref();
            let exchange = message.exchange.as_ref().unwrap_or(exchange);
            writer.publish(self.id, exchange.as_str(), message).await?;
        }
        writer.flush().await
    }

    /// Sends a request and waits for the broker's answer.
    pub(super) async fn request(&self, request: AMQPClass) -> Result<(), Failure> {
        self.state.lock().answered = false;
        self.send_method(request).await?;
        self.wait_until(|known| known.answered).await
    }

    /// Sends a method, unless the channel is closed: the broker closes the whole connection over a
    /// method on a channel whose `close-ok` it has. That is sent under the same lock, after the
    /// close is recorded here.
    pub(super) async fn send_method(&self, method: AMQPClass) -> Result<(), Failure> {
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

    /// Returns the depth of the queue that was declared last.
    pub(super) fn last_depth(&self) -> QueueDepth {
        self.state.lock().depth
    }

    pub(super) async fn wait_until(&self, is_done: impl Fn(&Inner) -> bool) -> Result<(), Failure> {
        loop {
            let changed = self.state.changed.notified();
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
            changed.await;
        }
    }

    /// Drops deliveries from now on, so that the reader goes on to read confirms and answers.
    fn discard_deliveries(&self) {
        self.state.lock().deliveries.discard();
        self.state.room.notify_one();
    }

    fn lost(&self, reason: String) -> Failure {
        self.shared.closed.get().cloned().map_or(Failure::Lost(reason), Failure::Closed)
    }

    fn refusal(&self) -> Option<CloseReason> {
        self.state.lock().closed.clone()
    }
}

impl Drop for Channel {
    /// Has the channel closed on the broker's side as well.
    fn drop(&mut self) {
        self.discard_deliveries();
        self.shared.close_channel(self.id, &self.state);
    }
}

/// Returns `channel.close`.
pub(super) fn close() -> AMQPClass {
    const SUCCESS: u16 = 200;
    AMQPClass::Channel(channel::AMQPMethod::Close(channel::Close {
        reply_code: SUCCESS,
        reply_text: "OK".into(),
        class_id: 0,
        method_id: 0,
    }))
}

/// Returns `channel.close-ok`.
pub(super) fn close_ok() -> AMQPClass {
    AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))
}
