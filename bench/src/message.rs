//! Messages like those that the relay publishes, created without an event.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use uuid::Uuid;

use crate::setup::PAYLOAD;

/// A message of the bare publisher.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) event_id: Uuid,
    pub(crate) routing_key: &'static str,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
}

/// Creates messages with consecutive ids from a random start: a random id for each would cost a
/// system call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Messages {
    first: u128,
}

impl Messages {
    pub(crate) fn new() -> Self {
        Self { first: Uuid::now_v7().as_u128() }
    }

    /// A message of a separate aggregate.
    pub(crate) fn message(&self, number: usize, routing_key: &'static str) -> Message {
        let event_id = Uuid::from_u128(self.first.wrapping_add(number as u128));
        let id = event_id.to_string();
        let body = format!(
            r#"{{"event_id":"{id}","event":"{routing_key}","occurred_at":"2026-02-01T22:25:31.123456Z","data":{PAYLOAD}}}"#
        );
        let mut headers = FieldTable::default();
        headers.insert("aggregate-type".into(), AMQPValue::LongString("order".into()));
        headers.insert("aggregate-id".into(), AMQPValue::LongString(id.clone().into()));
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_message_id(id.into())
            .with_type(routing_key.into())
            .with_timestamp(1_769_984_731)
            .with_app_id("outbox-relay".into())
            .with_headers(headers);
        Message { event_id, routing_key, properties, body: body.into_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_it_is_said_to_be() {
        let messages = Messages::new();
        let (one, other) =
            (messages.message(0, "order.created"), messages.message(1, "order.created"));
        assert_ne!(one.event_id, other.event_id);
        assert!((330..370).contains(&one.body.len()), "{} bytes", one.body.len());
    }
}
