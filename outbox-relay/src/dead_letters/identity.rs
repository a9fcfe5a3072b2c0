//! The identity of a message, by which a redelivery is recognised.

use amqp::{Delivery, EncodedProperties};
use sha2::{Digest as _, Sha256};

/// Headers in which RabbitMQ counts deliveries: a message that is delivered again differs in them.
const DELIVERY_COUNTS: [&[u8]; 3] =
    [b"x-delivery-count", b"x-acquired-count", b"x-opt-delivery-count"];

/// Bytes of a content header that precede the properties.
const BEFORE_PROPERTIES: usize = 12;

/// Returns the SHA-256 of a message, its queue and its virtual host: the same for each delivery of
/// the message. The order of headers does not count, as RabbitMQ may sort them when it adds its
/// own.
pub(super) fn identity(virtual_host: &str, queue: &str, delivery: &Delivery) -> [u8; 32] {
    let mut hash = Sha256::new();
    part(&mut hash, virtual_host.as_bytes());
    part(&mut hash, queue.as_bytes());
    let content_header = delivery.content_header();
    match EncodedProperties::parse(content_header) {
        Some(EncodedProperties { flags, before, mut headers, after }) => {
            hash.update(flags.to_be_bytes());
            part(&mut hash, before);
            part(&mut hash, after);
            headers.retain(|(name, _)| !DELIVERY_COUNTS.contains(name));
            headers.sort_unstable();
            for (name, value) in headers {
                part(&mut hash, name);
                part(&mut hash, value);
            }
        }
        None => part(&mut hash, content_header.get(BEFORE_PROPERTIES..).unwrap_or_default()),
    }
    part(&mut hash, &delivery.body);
    hash.finalize().into()
}

/// Adds a part with its length, so that no two sequences of parts hash alike.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::basic::AMQPProperties;
    use amq_protocol::types::{AMQPValue, FieldTable};
    use amqp::{DeliveryInfo, content_header};

    use super::*;

    fn identity_of(queue: &str, headers: &[(&str, i64)], body: &'static [u8]) -> [u8; 32] {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), AMQPValue::LongLongInt(*value));
        }
        let properties = AMQPProperties::default().with_message_id("1".into());
        let properties =
            if headers.is_empty() { properties } else { properties.with_headers(table) };
        let (exchange, routing_key) = (String::new(), queue.to_owned());
        let info = DeliveryInfo { tag: 1, redelivered: false, exchange, routing_key };
        let content_header = content_header(body.len(), &properties);
        let (virtual_host, queue) = queue.split_once(':').unwrap_or(("/", queue));
        identity(virtual_host, queue, &Delivery::new(info, content_header, body.into()))
    }

    #[test]
    fn a_redelivery_is_the_same_message() {
        let first = identity_of("q", &[], b"x");
        assert_eq!(first, identity_of("q", &[("x-delivery-count", 3)], b"x"));
        let first = identity_of("q", &[("a", 1)], b"x");
        assert_eq!(first, identity_of("q", &[("a", 1), ("x-delivery-count", 1)], b"x"));
    }

    #[test]
    fn whatever_else_differs_makes_another_message() {
        let all = [
            identity_of("q", &[], b"x"),
            identity_of("p", &[], b"x"),
            identity_of("v:q", &[], b"x"),
            identity_of("q", &[], b"y"),
            identity_of("q", &[("a", 1)], b"x"),
            identity_of("q", &[("a", 2)], b"x"),
            identity_of("q", &[("a", 1), ("b", 1)], b"x"),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| other != one), "{index}");
        }
    }

    #[test]
    fn properties_that_can_not_be_read_count_as_they_are() {
        let delivery = |bytes: &[u8]| {
            let info = DeliveryInfo {
                tag: 1,
                redelivered: false,
                exchange: String::new(),
                routing_key: String::new(),
            };
            Delivery::new(info, [&[0; 12][..], bytes].concat(), b"x"[..].into())
        };
        let one = identity("/", "q", &delivery(b"\xff\xff\xff"));
        assert_eq!(one, identity("/", "q", &delivery(b"\xff\xff\xff")));
        assert_ne!(one, identity("/", "q", &delivery(b"\xff\xff\xfe")));
    }
}
