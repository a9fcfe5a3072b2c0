//! The state of a channel, shared by its user and the connection's tasks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::confirms::{Confirms, Return};
use super::deliveries::Deliveries;
use super::method::{CloseReason, QueueDepth};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct ChannelState {
    inner: Mutex<Inner>,
    /// Wakes the channel's user.
    pub(super) changed: Notify,
    /// Wakes the reader once messages were taken.
    pub(super) room: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    /// `channel.open` was sent.
    pub(super) is_requested: bool,
    /// The channel was dropped, or is being closed by its user.
    pub(super) is_closing: bool,
    /// `channel.close` was sent.
    pub(super) is_close_sent: bool,
    /// The broker has answered the current request.
    pub(super) answered: bool,
    /// The channel consumes a queue.
    pub(super) is_consuming: bool,
    /// Of the queue that was declared last.
    pub(super) depth: QueueDepth,
    /// Why the broker closed the channel, if it did.
    pub(super) closed: Option<CloseReason>,
    pub(super) confirms: Confirms,
    pub(super) deliveries: Deliveries,
    /// The header by which returned messages are recognised; `None`: by their `message_id`.
    pub(super) return_header: Option<&'static str>,
    /// The returned message that is being received.
    pub(super) returning: Option<Return>,
}

impl Inner {
    /// Returns true if the channel's number will soon be free.
    pub(super) const fn is_ending(&self) -> bool {
        self.is_closing || self.closed.is_some()
    }
}

impl ChannelState {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }
}
