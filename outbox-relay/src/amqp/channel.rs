//! A channel, on which one thing at a time is under way: a request, or a window of messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amq_protocol::protocol::{AMQPClass, channel, confirm, exchange};
use amq_protocol::types::{FieldTable, ShortString};
use tokio::sync::Notify;

use super::Connection;
use super::confirms::{Confirms, Outcome, Return};
use super::connection::Shared;
use super::heard::Goodbye;
use crate::message::Message;

/// Why the broker did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It closed the channel over it.
    Refused(Goodbye),
    /// The connection is over, and this is why.
    Lost(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(Goodbye { said, .. }) | Self::Lost(said) => f.write_str(said),
        }
    }
}

/// What is known of a channel.
#[derive(Debug, Default)]
pub(super) struct State {
    known: Mutex<Known>,
    /// For the one that uses the channel.
    news: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    /// The request under way is done.
    pub(super) answered: bool,
    /// The broker has closed the channel.
    pub(super) closed: Option<Goodbye>,
    pub(super) confirms: Confirms,
    /// A message that is coming back, until its properties tell which one it is.
    pub(super) returning: Option<Return>,
}

impl State {
    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) {
        self.news.notify_one();
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Channel {
    shared: Arc<Shared>,
    state: Arc<State>,
    id: u16,
}

impl Channel {
    /// Opens a channel.
    pub(crate) async fn open(connection: &Connection) -> Result<Self, Failure> {
        let shared = Arc::clone(&connection.shared);
        let state = Arc::<State>::default();
        let id = shared.add_channel(&state).map_err(Failure::Lost)?;
        let channel = Self { shared, state, id };
        let open = channel::AMQPMethod::Open(channel::Open {});
        channel.ask(AMQPClass::Channel(open)).await?;
        Ok(channel)
    }

    /// Has the broker confirm messages from now on.
    pub(crate) async fn confirm(&self) -> Result<(), Failure> {
        let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
        self.ask(AMQPClass::Confirm(select)).await
    }

    /// Declares a durable topic exchange, or, `passive`, only asks whether there is an exchange of that name.
    pub(crate) async fn declare_exchange(
        &self,
        exchange: ShortString,
        passive: bool,
    ) -> Result<(), Failure> {
        let declare = exchange::AMQPMethod::Declare(exchange::Declare {
            exchange,
            kind: "topic".into(),
            passive,
            durable: true,
            auto_delete: false,
            internal: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        self.ask(AMQPClass::Exchange(declare)).await
    }

    /// Closes the channel.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        const SUCCESS: u16 = 200;
        let close = channel::AMQPMethod::Close(channel::Close {
            reply_code: SUCCESS,
            reply_text: "OK".into(),
            class_id: 0,
            method_id: 0,
        });
        self.ask(AMQPClass::Channel(close)).await
    }

    /// Whether it can be used, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        self.shared.ended().is_none() && self.state.lock().closed.is_none()
    }

    /// Sends `messages`, each mandatory, and waits until the broker has told of all of them. Whatever comes of that, and should the wait
    /// be given up, [`outcomes`](Self::outcomes) tells what is known of each.
    pub(crate) async fn publish(
        &self,
        exchange: &ShortString,
        messages: &[Message],
    ) -> Result<(), Failure> {
        self.state.lock().confirms.begin(messages.len());
        self.send(exchange, messages).await.map_err(|error| {
            let lost = self.shared.failed(&error);
            self.refusal().map_or(Failure::Lost(lost), Failure::Refused)
        })?;
        self.wait_until(|known| known.confirms.are_complete()).await
    }

    /// What became of the `messages` that were published last; none for those of which nothing is known.
    pub(crate) fn outcomes(&self, messages: &[Message]) -> Vec<Option<Outcome>> {
        self.state.lock().confirms.outcomes(messages)
    }

    async fn send(
        &self,
        exchange: &ShortString,
        messages: &[Message],
    ) -> Result<(), std::io::Error> {
        let mut writer = self.shared.writer.lock().await;
        for message in messages {
            // The broker takes no notice of what it gets after that.
            if !self.is_open() {
                break;
            }
            writer.publish(self.id, exchange.as_str(), message).await?;
        }
        writer.flush().await
    }

    async fn ask(&self, request: AMQPClass) -> Result<(), Failure> {
        self.state.lock().answered = false;
        self.shared.send(self.id, request).await.map_err(Failure::Lost)?;
        self.wait_until(|known| known.answered).await
    }

    async fn wait_until(&self, is_done: impl Fn(&Known) -> bool) -> Result<(), Failure> {
        loop {
            let news = self.state.news.notified();
            if is_done(&self.state.lock()) {
                return Ok(());
            }
            if let Some(refusal) = self.refusal() {
                return Err(Failure::Refused(refusal));
            }
            if let Some(reason) = self.shared.ended() {
                return Err(Failure::Lost(reason.to_owned()));
            }
            news.await;
        }
    }

    fn refusal(&self) -> Option<Goodbye> {
        self.state.lock().closed.clone()
    }
}
