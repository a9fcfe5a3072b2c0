//! A message that the broker delivered.

use std::sync::OnceLock;

use amq_protocol::protocol::basic::{AMQPProperties, parse_properties};
use bytes::Bytes;

use super::properties::{self, CONTENT_TYPE, MESSAGE_ID, TYPE};

/// What a message takes besides its bytes.
const FIXED: usize = 300;

/// What the broker says of a message that it delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Its number on the channel: what it is acknowledged by.
    pub tag: u64,
    /// It was delivered before.
    pub redelivered: bool,
    /// Where it was published.
    pub exchange: String,
    /// With which routing key.
    pub routing_key: String,
}

/// A message that the broker delivered.
#[derive(Debug)]
pub struct Delivery {
    /// What the broker says of it.
    pub envelope: Envelope,
    /// Its properties as they came.
    content_header: Vec<u8>,
    /// The same, as soon as somebody wants all of them.
    properties: OnceLock<Box<AMQPProperties>>,
    /// What it says. Clones share the bytes.
    pub body: Bytes,
}

impl Delivery {
    /// A message with these properties, which [`content_header`](super::content_header) writes.
    #[must_use]
    pub const fn new(envelope: Envelope, content_header: Vec<u8>, body: Bytes) -> Self {
        Self { envelope, content_header, properties: OnceLock::new(), body }
    }

    /// The property `content_type`.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.text(CONTENT_TYPE)
    }

    /// The property `type`.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.text(TYPE)
    }

    /// The property `message_id`.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.text(MESSAGE_ID)
    }

    /// All properties; none of them when one of them can't be read: brokers hand on what they do not understand.
    #[must_use]
    pub fn properties(&self) -> &AMQPProperties {
        self.properties.get_or_init(|| {
            let bytes = properties::that_can_be_parsed(&self.content_header).unwrap_or_default();
            let parsed = parse_properties(bytes).map(|(_, properties)| properties);
            Box::new(parsed.unwrap_or_default())
        })
    }

    fn text(&self, property: u16) -> Option<&str> {
        std::str::from_utf8(properties::text(&self.content_header, property)??).ok()
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        FIXED + self.content_header.len() + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::types::{AMQPValue, FieldTable};

    use super::*;
    use crate::content_header;

    fn delivery(content_header: Vec<u8>) -> Delivery {
        let routing_key = "order.created".to_owned();
        let exchange = "orders.events".to_owned();
        let envelope = Envelope { tag: 1, redelivered: false, exchange, routing_key };
        Delivery::new(envelope, content_header, Bytes::new())
    }

    #[test]
    fn headers_that_nest_without_end_are_none() {
        let nested = |levels: usize| {
            let mut value = AMQPValue::LongLongInt(7);
            for _ in 0..levels {
                value = AMQPValue::FieldArray(vec![value].into());
            }
            let mut table = FieldTable::default();
            table.insert("n".into(), value);
            let properties = AMQPProperties::default().with_headers(table);
            (delivery(content_header(0, &properties)), properties)
        };
        let (shallow, properties) = nested(20);
        assert_eq!(*shallow.properties(), properties);
        let (deep, _) = nested(500);
        assert_eq!(*deep.properties(), AMQPProperties::default());
    }

    #[test]
    fn properties_that_can_not_be_read_are_none() {
        let properties = AMQPProperties::default().with_content_type("application/json".into());
        let mut bytes = content_header(0, &properties);
        // A length that leads beyond the end.
        bytes[14] = 255;
        let delivery = delivery(bytes);
        assert_eq!(delivery.content_type(), None);
        assert_eq!(*delivery.properties(), AMQPProperties::default());
    }
}
