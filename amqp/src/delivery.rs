//! A message that the broker delivered.

use std::sync::OnceLock;

use amq_protocol::protocol::basic::{AMQPProperties, parse_properties};
use bytes::Bytes;

use super::properties::{self, CONTENT_TYPE, MESSAGE_ID, TYPE};

/// Bytes that a message takes in memory besides its own.
const FIXED: usize = 300;

/// The fields of `basic.deliver`: the method that announces a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryInfo {
    /// Its number on the channel, by which it is acknowledged.
    pub tag: u64,
    /// True if the broker delivered this message to a consumer before.
    pub redelivered: bool,
    /// The exchange that it was published to.
    pub exchange: String,
    /// The routing key that it was published with.
    pub routing_key: String,
}

/// A message that the broker delivered.
#[derive(Debug)]
pub struct Delivery {
    /// Its tag and where it was published.
    pub info: DeliveryInfo,
    /// The encoded content header.
    content_header: Vec<u8>,
    /// All properties, decoded on first use.
    properties: OnceLock<Box<AMQPProperties>>,
    /// The body. Clones share the bytes.
    pub body: Bytes,
}

impl Delivery {
    /// Creates a delivery from a content header, as [`content_header`](super::content_header)
    /// encodes it.
    #[must_use]
    pub const fn new(info: DeliveryInfo, content_header: Vec<u8>, body: Bytes) -> Self {
        Self { info, content_header, properties: OnceLock::new(), body }
    }

    /// Returns the encoded content header.
    #[must_use]
    pub fn content_header(&self) -> &[u8] {
        &self.content_header
    }

    /// Returns the property `content_type`.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.text(CONTENT_TYPE)
    }

    /// Returns the property `type`.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.text(TYPE)
    }

    /// Returns the property `message_id`.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.text(MESSAGE_ID)
    }

    /// Returns all properties; none of them if one can't be decoded, as brokers pass on what they
    /// do not understand.
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
        let DeliveryInfo { exchange, routing_key, .. } = &self.info;
        FIXED + exchange.len() + routing_key.len() + self.content_header.len() + self.body.len()
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
        let info = DeliveryInfo { tag: 1, redelivered: false, exchange, routing_key };
        Delivery::new(info, content_header, Bytes::new())
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
