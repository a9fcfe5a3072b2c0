//! The methods that one who publishes or consumes hears from a broker, read from their bytes
//! (<https://www.rabbitmq.com/amqp-0-9-1-reference>). None of the tables among them is needed: each is stepped over.

use super::delivery::Envelope;

/// What the broker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
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
    Close(Goodbye),
    CloseOk,
    Blocked,
    Unblocked,
    /// Of a channel.
    /// What was asked for.
    Done,
    ChannelClose(Goodbye),
    ChannelCloseOk,
    /// The queue that was asked for.
    Queue(Depth),
    /// A message follows.
    Deliver(Envelope),
    /// No more messages follow: their queue is gone.
    Cancel,
    Ack(Saying),
    Nack(Saying),
    Return {
        reply_code: u16,
        reply_text: String,
        routing_key: String,
    },
    /// Nothing that is expected: class and method.
    Other(u16, u16),
}

/// What a queue holds, and who takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Messages that wait: those that were delivered and are not acknowledged are none of them.
    pub messages: u32,
    /// Consumers of the queue.
    pub consumers: u32,
}

/// Why the broker closes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goodbye {
    /// See <https://www.rabbitmq.com/amqp-0-9-1-reference#constants>.
    pub code: u16,
    /// The same in words.
    pub said: String,
}

/// Of which messages the broker speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Saying {
    pub(super) tag: u64,
    /// And all before that one.
    pub(super) multiple: bool,
}

/// Reads a method; none when its bytes end too early.
pub(super) fn method(mut bytes: &[u8]) -> Option<Heard> {
    let bytes = &mut bytes;
    Some(match (u16(bytes)?, u16(bytes)?) {
        (10, 10) => {
            // The protocol's version.
            bytes.split_off(..2)?;
            long_string(bytes)?;
            Heard::Start { mechanisms: text(long_string(bytes)?) }
        }
        (10, 30) => {
            let (channel_max, frame_max) = (u16(bytes)?, u32(bytes)?);
            Heard::Tune { channel_max, frame_max, heartbeat: u16(bytes)? }
        }
        (10, 41) => Heard::OpenOk,
        (10, 50) => Heard::Close(goodbye(bytes)?),
        (10, 51) => Heard::CloseOk,
        (10, 60) => Heard::Blocked,
        (10, 61) => Heard::Unblocked,
        (20 | 40 | 60 | 85 | 90, 11) | (50, 21 | 41 | 51) | (60, 21 | 72) | (60 | 90, 31) => {
            Heard::Done
        }
        (50, 11) => {
            let _queue = short_string(bytes)?;
            Heard::Queue(Depth { messages: u32(bytes)?, consumers: u32(bytes)? })
        }
        (20, 40) => Heard::ChannelClose(goodbye(bytes)?),
        (20, 41) => Heard::ChannelCloseOk,
        (60, 80) => Heard::Ack(saying(bytes)?),
        (60, 120) => Heard::Nack(saying(bytes)?),
        (60, 50) => {
            let (reply_code, reply_text) = (u16(bytes)?, text(short_string(bytes)?));
            let _exchange = short_string(bytes)?;
            Heard::Return { reply_code, reply_text, routing_key: text(short_string(bytes)?) }
        }
        (60, 60) => {
            let _consumer = short_string(bytes)?;
            Heard::Deliver(envelope(bytes)?)
        }
        // The one message that was asked for; how many are left behind it stands at the end.
        (60, 71) => Heard::Deliver(envelope(bytes)?),
        (60, 30) => Heard::Cancel,
        (class, method) => Heard::Other(class, method),
    })
}

fn envelope(bytes: &mut &[u8]) -> Option<Envelope> {
    Some(Envelope {
        tag: u64(bytes)?,
        redelivered: bytes.split_off_first()? & 1 == 1,
        exchange: text(short_string(bytes)?),
        routing_key: text(short_string(bytes)?),
    })
}

fn goodbye(bytes: &mut &[u8]) -> Option<Goodbye> {
    Some(Goodbye { code: u16(bytes)?, said: text(short_string(bytes)?) })
}

fn saying(bytes: &mut &[u8]) -> Option<Saying> {
    Some(Saying { tag: u64(bytes)?, multiple: bytes.split_off_first()? & 1 == 1 })
}

fn u64(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.split_off(..8)?.first_chunk()?))
}

pub(super) fn u16(bytes: &mut &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.split_off(..2)?.first_chunk()?))
}

fn u32(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.split_off(..4)?.first_chunk()?))
}

pub(super) fn short_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let size = *bytes.split_off_first()?;
    bytes.split_off(..usize::from(size))
}

/// A long string, or a table, which looks the same from outside.
pub(super) fn long_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let size = u32(bytes)?;
    bytes.split_off(..usize::try_from(size).ok()?)
}

/// For people: what is not UTF-8 is shown as such.
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
    fn hears(method: &AMQPClass, expected: &Heard) {
        let bytes = bytes_of(method);
        assert_eq!(super::method(&bytes).as_ref(), Some(expected));
        for end in 0..4 {
            assert_eq!(super::method(&bytes[..end]), None, "{end} bytes");
        }
        for end in 4..bytes.len() {
            // Whatever is read of a part, it is no more than there is.
            super::method(&bytes[..end]);
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
        hears(&AMQPClass::Connection(start), &Heard::Start { mechanisms });
        let tune = connection::Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 };
        let tune = connection::AMQPMethod::Tune(tune);
        let expected = Heard::Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 };
        hears(&AMQPClass::Connection(tune), &expected);
    }

    #[test]
    fn goodbyes_and_confirms_are_understood() {
        let goodbye = Goodbye { code: 404, said: "NOT_FOUND - no exchange".to_owned() };
        let close = channel::AMQPMethod::Close(channel::Close {
            reply_code: 404,
            reply_text: "NOT_FOUND - no exchange".into(),
            class_id: 60,
            method_id: 40,
        });
        hears(&AMQPClass::Channel(close), &Heard::ChannelClose(goodbye));
        let ack = basic::AMQPMethod::Ack(basic::Ack { delivery_tag: 1 << 40, multiple: true });
        hears(&AMQPClass::Basic(ack), &Heard::Ack(Saying { tag: 1 << 40, multiple: true }));
        let nack = basic::Nack { delivery_tag: 3, multiple: false, requeue: true };
        let nack = basic::AMQPMethod::Nack(nack);
        hears(&AMQPClass::Basic(nack), &Heard::Nack(Saying { tag: 3, multiple: false }));
        let returned = basic::AMQPMethod::Return(basic::Return {
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
            exchange: "orders.events".into(),
            routing_key: "order.created".into(),
        });
        let expected = Heard::Return {
            reply_code: 312,
            reply_text: "NO_ROUTE".to_owned(),
            routing_key: "order.created".to_owned(),
        };
        hears(&AMQPClass::Basic(returned), &expected);
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
        let expected = Heard::Deliver(Envelope {
            tag: 7,
            redelivered: true,
            exchange: "orders.events".to_owned(),
            routing_key: "order.created".to_owned(),
        });
        hears(&AMQPClass::Basic(deliver), &expected);
        let got = basic::AMQPMethod::GetOk(basic::GetOk {
            delivery_tag: 8,
            redelivered: false,
            exchange: "orders.retry".into(),
            routing_key: "customer.orders_count".into(),
            message_count: 3,
        });
        let expected = Heard::Deliver(Envelope {
            tag: 8,
            redelivered: false,
            exchange: "orders.retry".to_owned(),
            routing_key: "customer.orders_count".to_owned(),
        });
        hears(&AMQPClass::Basic(got), &expected);
        hears(&AMQPClass::Basic(basic::AMQPMethod::GetEmpty(basic::GetEmpty {})), &Heard::Done);
        let declared = queue::AMQPMethod::DeclareOk(queue::DeclareOk {
            queue: "customer.orders_count".into(),
            message_count: 7,
            consumer_count: 2,
        });
        let expected = Heard::Queue(Depth { messages: 7, consumers: 2 });
        hears(&AMQPClass::Queue(declared), &expected);
        let deleted = queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count: 0 });
        hears(&AMQPClass::Queue(deleted), &Heard::Done);
        let unbound = queue::AMQPMethod::UnbindOk(queue::UnbindOk {});
        hears(&AMQPClass::Queue(unbound), &Heard::Done);
        let cancel = basic::Cancel { consumer_tag: "ctag".into(), nowait: true };
        hears(&AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)), &Heard::Cancel);
    }

    proptest! {
        #[test]
        fn any_bytes_are_something_or_nothing(
            class in prop_oneof![Just(10_u16), Just(20), Just(40), Just(60), Just(85), any::<u16>()],
            method in 0..130_u16,
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = [&class.to_be_bytes()[..], &method.to_be_bytes(), &rest].concat();
            if let Some(Heard::Other(other, number)) = super::method(&bytes) {
                prop_assert_eq!((other, number), (class, method));
            }
        }
    }
}
