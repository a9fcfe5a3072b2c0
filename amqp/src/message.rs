//! A message that is to be published.

use amq_protocol::types::ShortString;
use bytes::Bytes;

/// A message, as it is sent.
#[derive(Debug, Clone)]
pub struct Message {
    /// By which a returned message is recognised: that of its properties, or the value of the
    /// header that [`Channel::recognize_returns_by`](super::Channel::recognize_returns_by) names.
    pub message_id: String,
    /// Where it goes, if not to the exchange that it is published to together with others.
    pub exchange: Option<ShortString>,
    /// What queues are bound by.
    pub routing_key: ShortString,
    /// Its properties, as [`content_header`](super::content_header) writes them.
    pub content_header: Vec<u8>,
    /// What it says. Shared, not copied, where it is that of a message that was delivered.
    pub body: Bytes,
}

impl AsRef<Self> for Message {
    fn as_ref(&self) -> &Self {
        self
    }
}
