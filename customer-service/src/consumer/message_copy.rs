//! Copies of deliveries, to be published again.

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::ShortString;
use amqp::{Delivery, Message, content_header};

/// Room in a frame for all properties but the headers: each has at most 255 bytes.
pub(super) const FRAME_OVERHEAD: usize = 4096;

/// Copies the properties of `original`, without headers and expiration, and without `user_id`: the
/// broker accepts only the user of the connection.
pub(super) fn properties(original: &Delivery) -> BasicProperties {
    const PERSISTENT: u8 = 2;
    let original = original.properties();
    let copied = |value: &Option<ShortString>,
                  with: fn(BasicProperties, ShortString) -> BasicProperties,
                  to| match value {
        Some(value) => with(to, value.clone()),
        None => to,
    };
    let mut copy = BasicProperties::default().with_delivery_mode(PERSISTENT);
    copy = copied(original.content_type(), BasicProperties::with_content_type, copy);
    copy = copied(original.content_encoding(), BasicProperties::with_content_encoding, copy);
    copy = copied(original.correlation_id(), BasicProperties::with_correlation_id, copy);
    copy = copied(original.reply_to(), BasicProperties::with_reply_to, copy);
    copy = copied(original.message_id(), BasicProperties::with_message_id, copy);
    copy = copied(original.kind(), BasicProperties::with_type, copy);
    copy = copied(original.app_id(), BasicProperties::with_app_id, copy);
    if let Some(priority) = original.priority() {
        copy = copy.with_priority(*priority);
    }
    if let Some(timestamp) = original.timestamp() {
        copy = copy.with_timestamp(*timestamp);
    }
    copy
}

/// Returns a message with the body of `original`, which both share, and these properties.
pub(super) fn message(
    original: &Delivery,
    properties: &BasicProperties,
    routing_key: &str,
) -> Message {
    // A returned message is recognised by the id in `properties`.
    let message_id = properties.message_id().as_ref().map_or("", ShortString::as_str).to_owned();
    Message {
        message_id,
        exchange: None,
        routing_key: routing_key.into(),
        content_header: content_header(original.body.len(), properties),
        body: original.body.clone(),
    }
}
