//! Builds the message that `return` publishes: the collected or edited one, without whatever would
//! keep the consumer from processing it afresh.
//!
//! | what | why |
//! |---|---|
//! | headers in which the broker or a known consumer counts or explains ([`is_dropped`]) | the consumer begins to count again |
//! | `CC`, `BCC` | the broker would route copies to other queues |
//! | `x-returned-from` is added | a message that dies again finds its earlier row |
//! | `user_id` is removed | the broker refuses that of another user |
//! | `expiration` is removed | it would be dropped while the consumer is down, though it counts as returned |
//! | `delivery_mode` is 2 | a restart of the broker must not lose what is settled here |

use amq_protocol::types::{AMQPValue, FieldTable, ShortString};
use amqp::{ContentHeader, Message};
use bytes::Bytes;

use super::message::RETURNED_FROM;

/// Headers that are not returned.
const DROPPED: [&[u8]; 19] = [
    b"CC",
    b"BCC",
    b"x-death",
    b"x-delivery-count",
    b"x-opt-delivery-count",
    b"x-acquired-count",
    // This project's consumer.
    b"x-retry-count",
    b"x-tries",
    b"x-reason",
    b"x-first-failed-at",
    b"x-last-failed-at",
    // Spring AMQP.
    b"x-exception-message",
    b"x-exception-stacktrace",
    // MassTransit.
    b"MT-Redelivery-Count",
    // NServiceBus.
    b"NServiceBus.FLRetries",
    b"NServiceBus.Retries",
    b"NServiceBus.Retries.Timestamp",
    b"NServiceBus.TimeOfFailure",
    b"NServiceBus.FailedQ",
];

/// Prefixes of further headers that are not returned.
const DROPPED_PREFIXES: [&[u8]; 4] =
    [b"x-first-death-", b"x-last-death-", b"MT-Fault-", b"NServiceBus.ExceptionInfo."];

/// Bytes of a frame besides its payload.
const FRAME_OVERHEAD: usize = 8;

/// A row that is returned.
#[derive(Debug)]
pub(crate) struct ReturningRow {
    pub(crate) id: i64,
    /// The dead-letter queue that it was collected from.
    pub(crate) queue: String,
    /// The queue that it goes back to.
    pub(crate) return_to: String,
    pub(crate) content_header: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl ReturningRow {
    /// Makes the message, for a connection with frames of `frame_max` bytes.
    ///
    /// # Errors
    /// Returns why no valid message can be made of the row.
    pub(crate) fn into_message(self, frame_max: usize) -> Result<Message, String> {
        let Self { id, queue, return_to, content_header, body } = self;
        let routing_key = ShortString::try_new(return_to.as_str()).map_err(|_| {
            format!("the queue's name is {} bytes long, AMQP allows 255", return_to.len())
        })?;
        let mut header = ContentHeader::read(&content_header)
            .ok_or("its properties can't be read, so that nothing can be added to them")?;
        header.retain_headers(|name| !is_dropped(name) && name != RETURNED_FROM.as_bytes());
        let returned_from = format!("{queue}/{id}");
        let mut added = FieldTable::default();
        added.insert(RETURNED_FROM.into(), AMQPValue::LongString(returned_from.as_str().into()));
        header.add_headers(added);
        header.remove_user_id();
        header.remove_expiration();
        header.make_persistent();
        let content_header = header.encode(body.len());
        if content_header.len() + FRAME_OVERHEAD > frame_max {
            let size = content_header.len();
            return Err(format!(
                "its properties and headers are {size} bytes long, a frame of the broker holds {frame_max}: \
                 remove headers with `edit`"
            ));
        }
        let body = Bytes::from(body);
        Ok(Message { message_id: returned_from, exchange: None, routing_key, content_header, body })
    }
}

/// Whether a header is left out of what is returned.
fn is_dropped(name: &[u8]) -> bool {
    DROPPED.contains(&name) || DROPPED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::basic::AMQPProperties;
    use amqp::{Delivery, DeliveryInfo, content_header};

    use super::*;

    const FRAME_MAX: usize = 131_072;

    fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn row(properties: &AMQPProperties) -> ReturningRow {
        ReturningRow {
            id: 17,
            queue: "billing.dlq".to_owned(),
            return_to: "billing".to_owned(),
            content_header: content_header(4, properties),
            body: b"body".to_vec(),
        }
    }

    fn properties(message: Message) -> AMQPProperties {
        let (exchange, routing_key) = (String::new(), String::new());
        let info = DeliveryInfo { tag: 1, redelivered: false, exchange, routing_key };
        Delivery::new(info, message.content_header, message.body).properties().clone()
    }

    #[test]
    fn a_message_is_returned_as_it_was_without_what_counts_its_deaths() {
        let kept = [("n", AMQPValue::LongInt(7)), ("x-original-routing-key", text("order.paid"))];
        let mut all = table(&kept);
        for name in DROPPED {
            all.insert(std::str::from_utf8(name).expect("a name").into(), text("dropped"));
        }
        for name in ["x-first-death-queue", "MT-Fault-Message", "NServiceBus.ExceptionInfo.Message"]
        {
            all.insert(name.into(), text("dropped"));
        }
        all.insert(RETURNED_FROM.into(), text("billing.dlq/3"));
        let base = AMQPProperties::default().with_message_id("0190".into()).with_priority(3);
        let died = base.clone().with_headers(all).with_user_id("shop".into()).with_delivery_mode(1);
        let died = died.with_expiration("5".into());
        let message = row(&died).into_message(FRAME_MAX).expect("a message");
        assert_eq!((message.routing_key.as_str(), &message.body[..]), ("billing", &b"body"[..]));
        assert_eq!(message.message_id, "billing.dlq/17");
        let mut expected = table(&kept);
        expected.insert(RETURNED_FROM.into(), text("billing.dlq/17"));
        assert_eq!(properties(message), base.with_headers(expected).with_delivery_mode(2));
    }

    #[test]
    fn what_can_not_be_a_message_is_told() {
        let long =
            row(&AMQPProperties::default().with_headers(table(&[("a", text(&"x".repeat(9000)))])));
        let reason = long.into_message(4096).expect_err("too long for a frame");
        assert!(reason.contains("remove headers"), "{reason}");
        let mut broken = row(&AMQPProperties::default());
        broken.content_header.truncate(5);
        let reason = broken.into_message(FRAME_MAX).expect_err("broken properties");
        assert!(reason.contains("can't be read"), "{reason}");
        let mut queue = row(&AMQPProperties::default());
        queue.return_to = "q".repeat(256);
        let reason = queue.into_message(FRAME_MAX).expect_err("no name of a queue");
        assert!(reason.contains("AMQP allows 255"), "{reason}");
    }
}
