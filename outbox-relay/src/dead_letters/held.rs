//! Messages that the database refuses: unacknowledged, so that they stay in the queue, and tried
//! again from time to time without being delivered again, as quorum queues count deliveries.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::message::DeadLetter;

/// When a refused message is tried again.
const RETRY_AFTER: Duration = Duration::from_mins(1);

/// How many messages are held before nothing further is received; with a small prefetch half of it,
/// as the broker counts them among those.
const MOST: usize = 100;

/// How many bytes of messages.
const MOST_BYTES: usize = 128 << 20;

/// The messages that are held, the one that was tried longest ago first.
#[derive(Debug)]
pub(super) struct Held {
    messages: VecDeque<(Instant, DeadLetter)>,
    bytes: usize,
    most: usize,
}

impl Held {
    /// None are held, of a subscription with this prefetch.
    pub(super) fn new(prefetch: u16) -> Self {
        let most = MOST.min(usize::from(prefetch) / 2);
        Self { messages: VecDeque::new(), bytes: 0, most }
    }

    /// Holds a message that was refused now.
    pub(super) fn push(&mut self, message: DeadLetter) {
        self.bytes += message.weight();
        self.messages.push_back((Instant::now(), message));
    }

    /// Takes the message that was tried longest ago, if it is time to try it again.
    pub(super) fn pop_due(&mut self) -> Option<DeadLetter> {
        self.messages.front().filter(|(tried, _)| tried.elapsed() >= RETRY_AFTER)?;
        let (_, message) = self.messages.pop_front()?;
        self.bytes -= message.weight();
        Some(message)
    }

    /// Returns true if nothing further may be received.
    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= self.most || self.bytes >= MOST_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }
}
