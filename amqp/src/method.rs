//! The methods that a broker sends to publishers and consumers
//! (<https://www.rabbitmq.com/amqp-0-9-1-reference>). Tables among their arguments are skipped:
//! none is needed.

use super::decoder::{long_string, short_string, u16, u32, u64};
use super::delivery::DeliveryInfo;

/// A method sent by the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Method {
    /// Of the connection.
    Start {
        mechanisms: String,
    },
    Tune {
        channel_max: u16,
        frame_max: u32,
        heartbeat: u16,
    },
    OpenOk,
    Close(CloseReason),
    CloseOk,
    Blocked,
    Unblocked,
    /// Of a channel.
    /// The `-ok` of a request that returns nothing.
    RequestOk,
    ChannelClose(CloseReason),
    ChannelCloseOk,
    /// The `-ok` of a queue's declaration.
    QueueDeclareOk(QueueDepth),
    /// A message follows (`basic.deliver`, `basic.get-ok`).
    Deliver(DeliveryInfo),
    /// The broker ended the consumer, as its queue is gone.
    Cancel,
    Ack(DeliveryTags),
    Nack(DeliveryTags),
    Return {
        reply_code: u16,
        reply_text: String,
        routing_key: String,
    },
    /// Any other: class and method number.
    Other(u16, u16),
}

/// How many messages and consumers a queue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    /// Messages ready for delivery, without those that are delivered and not acknowledged.
    pub messages: u32,
    /// Consumers of the queue.
    pub consumers: u32,
}

/// Why the broker closed a channel or the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReason {
    /// See <https://www.rabbitmq.com/amqp-0-9-1-reference#constants>.
    pub code: u16,
    /// The same in words.
    pub text: String,
}

/// The messages that an `ack` or `nack` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeliveryTags {
    pub(super) tag: u64,
    /// True if the broker confirms or rejects all earlier messages of the channel as well.
    pub(super) multiple: bool,
}

/// Decodes a method; `None` if its bytes end too early.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Method> {
    let bytes = &mut bytes;
    Some(match (u16(bytes)?, u16(bytes)?) {
        (10, 10) => {
            // The protocol's version comes first.
            bytes.split_off(..2)?;
            long_string(bytes)?;
            Method::Start { mechanisms: text(long_string(bytes)?) }
        }
        (10, 30) => {
            let (channel_max, frame_max) = (u16(bytes)?, u32(bytes)?);
            Method::Tune { channel_max, frame_max, heartbeat: u16(bytes)? }
        }
        (10, 41) => Method::OpenOk,
        (10, 50) => Method::Close(close_reason(bytes)?),
        (10, 51) => Method::CloseOk,
        (10, 60) => Method::Blocked,
        (10, 61) => Method::Unblocked,
        (20 | 40 | 60 | 85 | 90, 11) | (50, 21 | 41 | 51) | (60, 21 | 72) | (60 | 90, 31) => {
            Method::RequestOk
        }
        (50, 11) => {
            let _queue = short_string(bytes)?;
            Method::QueueDeclareOk(QueueDepth { messages: u32(bytes)?, consumers: u32(bytes)? })
        }
        (20, 40) => Method::ChannelClose(close_reason(bytes)?),
        (20, 41) => Method::ChannelCloseOk,
        (60, 80) => Method::Ack(delivery_tags(bytes)?),
        (60, 120) => Method::Nack(delivery_tags(bytes)?),
        (60, 50) => {
            let (reply_code, reply_text) = (u16(bytes)?, text(short_string(bytes)?));
            let _exchange = short_string(bytes)?;
            Method::Return { reply_code, reply_text, routing_key: text(short_string(bytes)?) }
        }
        (60, 60) => {
            let _consumer = short_string(bytes)?;
            Method::Deliver(delivery_info(bytes)?)
        }
        // `basic.get-ok`, whose message count stands at the end.
        (60, 71) => Method::Deliver(delivery_info(bytes)?),
        (60, 30) => Method::Cancel,
        (class, method) => Method::Other(class, method),
    })
}

fn delivery_info(bytes: &mut &[u8]) -> Option<DeliveryInfo> {
    Some(DeliveryInfo {
        tag: u64(bytes)?,
        redelivered: bytes.split_off_first()? & 1 == 1,
        exchange: text(short_string(bytes)?),
        routing_key: text(short_string(bytes)?),
    })
}

fn close_reason(bytes: &mut &[u8]) -> Option<CloseReason> {
    Some(CloseReason { code: u16(bytes)?, text: text(short_string(bytes)?) })
}

fn delivery_tags(bytes: &mut &[u8]) -> Option<DeliveryTags> {
    Some(DeliveryTags { tag: u64(bytes)?, multiple: bytes.split_off_first()? & 1 == 1 })
}

/// The longest part of what the broker said that is quoted in a sentence, in bytes.
const LONGEST_EXCERPT: usize = 300;

/// Returns the beginning of `text`, for a sentence that is logged: the broker may say any amount.
pub(super) fn excerpt(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_EXCERPT)]
}

/// Text for people; invalid UTF-8 is replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::basic;
    use amq_protocol::protocol::{AMQPClass, channel, connection, gen_class, queue};
    use amq_protocol::types::{AMQPValue, FieldTable};
    use proptest::prelude::*;

    use super::*;

    fn table() -> FieldTable {
        let mut table = FieldTable::default();
        table.insert("n".into(), AMQPValue::LongLongInt(7));
        table
    }

    fn bytes_of(method: &AMQPClass) -> Vec<u8> {
        let written = gen_class(method)(Vec::new().into()).expect("a Vec takes everything");
        written.into_inner().0
    }

    /// Read as a whole, and in vain when some of it is missing.
    fn decodes(method: &AMQPClass, expected: &Method) {
        let bytes = bytes_of(method);
        assert_eq!(super::decode(&bytes).as_ref(), Some(expected));
        for end in 0..4 {
            assert_eq!(super::decode(&bytes[..end]), None, "{end} bytes");
        }
        for end in 4..bytes.len() {
            // Whatever is read of a part, it is no more than there is.
            super::decode(&bytes[..end]);
        }
    }

    #[test]
    fn the_handshakes_words_are_understood() {
        let start = connection::AMQPMethod::Start(connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: table(),
            mechanisms: "PLAIN EXTERNAL".into(),
            locales: "en_US".into(),
        });
        let mechanisms = "PLAIN EXTERNAL".to_owned();
        decodes(&AMQPClass::Connection(start), &Method::Start { mechanisms });
        let tune = connection::Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 };
        let tune = connection::AMQPMethod::Tune(tune);
        let expected = Method::Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 };
        decodes(&AMQPClass::Connection(tune), &expected);
    }

    #[test]
    fn goodbyes_and_confirms_are_understood() {
        let reason = CloseReason { code: 404, text: "NOT_FOUND - no exchange".to_owned() };
        let close = channel::AMQPMethod::Close(channel::Close {
            reply_code: 404,
            reply_text: "NOT_FOUND - no exchange".into(),
            class_id: 60,
            method_id: 40,
        });
        decodes(&AMQPClass::Channel(close), &Method::ChannelClose(reason));
        let ack = basic::AMQPMethod::Ack(basic::Ack { delivery_tag: 1 << 40, multiple: true });
        decodes(
            &AMQPClass::Basic(ack),
            &Method::Ack(DeliveryTags { tag: 1 << 40, multiple: true }),
        );
        let nack = basic::Nack { delivery_tag: 3, multiple: false, requeue: true };
        let nack = basic::AMQPMethod::Nack(nack);
        decodes(&AMQPClass::Basic(nack), &Method::Nack(DeliveryTags { tag: 3, multiple: false }));
        let returned = basic::AMQPMethod::Return(basic::Return {
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
            exchange: "orders.events".into(),
            routing_key: "order.created".into(),
        });
        let expected = Method::Return {
            reply_code: 312,
            reply_text: "NO_ROUTE".to_owned(),
            routing_key: "order.created".to_owned(),
        };
        decodes(&AMQPClass::Basic(returned), &expected);
    }

    #[test]
    fn messages_are_announced() {
        let deliver = basic::AMQPMethod::Deliver(basic::Deliver {
            consumer_tag: "ctag".into(),
            delivery_tag: 7,
            redelivered: true,
            exchange: "orders.events".into(),
            routing_key: "order.created".into(),
        });
        let expected = Method::Deliver(DeliveryInfo {
            tag: 7,
            redelivered: true,
            exchange: "orders.events".to_owned(),
            routing_key: "order.created".to_owned(),
        });
        decodes(&AMQPClass::Basic(deliver), &expected);
        let got = basic::AMQPMethod::GetOk(basic::GetOk {
            delivery_tag: 8,
            redelivered: false,
            exchange: "orders.retry".into(),
            routing_key: "customer.orders_count".into(),
            message_count: 3,
        });
        let expected = Method::Deliver(DeliveryInfo {
            tag: 8,
            redelivered: false,
            exchange: "orders.retry".to_owned(),
            routing_key: "customer.orders_count".to_owned(),
        });
        decodes(&AMQPClass::Basic(got), &expected);
        decodes(
            &AMQPClass::Basic(basic::AMQPMethod::GetEmpty(basic::GetEmpty {})),
            &Method::RequestOk,
        );
        let declared = queue::AMQPMethod::DeclareOk(queue::DeclareOk {
            queue: "customer.orders_count".into(),
            message_count: 7,
            consumer_count: 2,
        });
        let expected = Method::QueueDeclareOk(QueueDepth { messages: 7, consumers: 2 });
        decodes(&AMQPClass::Queue(declared), &expected);
        let deleted = queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count: 0 });
        decodes(&AMQPClass::Queue(deleted), &Method::RequestOk);
        let unbound = queue::AMQPMethod::UnbindOk(queue::UnbindOk {});
        decodes(&AMQPClass::Queue(unbound), &Method::RequestOk);
        let cancel = basic::Cancel { consumer_tag: "ctag".into(), nowait: true };
        decodes(&AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)), &Method::Cancel);
    }

    proptest! {
        #[test]
        fn any_bytes_are_something_or_nothing(
            class in prop_oneof![Just(10_u16), Just(20), Just(40), Just(60), Just(85), any::<u16>()],
            method in 0..130_u16,
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = [&class.to_be_bytes()[..], &method.to_be_bytes(), &rest].concat();
            if let Some(Method::Other(other, number)) = super::decode(&bytes) {
                prop_assert_eq!((other, number), (class, method));
            }
        }
    }
}
