//! Messages that the database refuses: unacknowledged, so that they stay in the queue, and tried
//! again from time to time without being delivered again, as quorum queues count deliveries.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::message::DeadLetter;

/// The pause before a refused message is tried again.
const RETRY_AFTER: Duration = Duration::from_mins(1);

/// The number of held messages at which receiving stops, or half the prefetch if that is less: held
/// messages are unacknowledged and count towards it.
const MOST: usize = 100;

/// The size of all held messages, in bytes, at which receiving stops.
const MOST_BYTES: usize = 128 << 20;

/// The messages that are held, the one that was tried longest ago first.
#[derive(Debug)]
pub(super) struct Held {
    messages: VecDeque<(Instant, DeadLetter)>,
    bytes: usize,
    most: usize,
}

impl Held {
    /// Returns an empty list, for a subscription with this prefetch.
    pub(super) fn new(prefetch: u16) -> Self {
        let most = MOST.min(usize::from(prefetch) / 2);
        Self { messages: VecDeque::new(), bytes: 0, most }
    }

    /// Adds a message that was just refused.
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
