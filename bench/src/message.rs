//! The message that the relay makes of an event, made without an event.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use uuid::Uuid;

use crate::setup::PAYLOAD;

/// What a bare publisher sends.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) event_id: Uuid,
    pub(crate) routing_key: &'static str,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// One with an aggregate of its own.
    pub(crate) fn new(routing_key: &'static str) -> Self {
        let event_id = Uuid::now_v7();
        let id = event_id.to_string();
        let body = format!(
            r#"{{"event_id":"{id}","event":"{routing_key}","occurred_at":"2026-02-01T22:25:31.123456Z","data":{PAYLOAD}}}"#
        );
        let mut headers = FieldTable::default();
        let aggregate = Uuid::new_v4().to_string();
        headers.insert("aggregate-type".into(), AMQPValue::LongString("order".into()));
        headers.insert("aggregate-id".into(), AMQPValue::LongString(aggregate.into()));
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_message_id(id.into())
            .with_type(routing_key.into())
            .with_timestamp(1_769_984_731)
            .with_app_id("outbox-relay".into())
            .with_headers(headers);
        Self { event_id, routing_key, properties, body: body.into_bytes() }
    }
}
