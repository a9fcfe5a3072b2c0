//! Decides whether a message that was not counted is tried again or goes to a person, and how long
//! it waits for its next try. It does no I/O.

use amq_protocol::types::AMQPValue;
use amqp::Delivery;
use time::OffsetDateTime;

use super::headers::{self, RETRY_COUNT, TRIES, header};
use super::topology::{DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, RETRY_EXCHANGE, RETRY_QUEUE};

/// Why a message was not counted, as far as another try goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// Another try may succeed. It counts against the maximum of retries.
    Retryable,
    /// Another try succeeds once a lock is released, for instance. The retry count stays as it is.
    Uncharged,
    /// The message can never be processed.
    Permanent,
}

/// Where a message that was not counted goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// The retry queue, with this retry count.
    Retry { count: u32 },
    /// The dead-letter queue, after this many tries.
    DeadLetter { tries: u32 },
}

impl Destination {
    /// Where a message goes that has had `retries` retries.
    pub(super) const fn of(failure: FailureKind, retries: u32, max_retries: u32) -> Self {
        match failure {
            FailureKind::Uncharged => Self::Retry { count: retries },
            FailureKind::Retryable if retries < max_retries => Self::Retry { count: retries + 1 },
            FailureKind::Retryable | FailureKind::Permanent => {
                Self::DeadLetter { tries: retries.saturating_add(1) }
            }
        }
    }

    /// The exchange that leads to the destination's queue.
    pub(super) const fn exchange(self) -> &'static str {
        match self {
            Self::Retry { .. } => RETRY_EXCHANGE,
            Self::DeadLetter { .. } => DEAD_LETTER_EXCHANGE,
        }
    }

    pub(super) const fn queue(self) -> &'static str {
        match self {
            Self::Retry { .. } => RETRY_QUEUE,
            Self::DeadLetter { .. } => DEAD_LETTER_QUEUE,
        }
    }
}

/// How many retries `delivery` has had, as its header says. A header that is not a count, or
/// negative, counts as 0. So does a message that a person moved back from the dead-letter queue: it
/// gets all its tries again.
pub(super) fn retry_count(delivery: &Delivery) -> u32 {
    if header(delivery, TRIES).is_some() {
        return 0;
    }
    let count = match header(delivery, RETRY_COUNT) {
        Some(AMQPValue::ShortShortInt(count)) => i64::from(*count),
        Some(AMQPValue::ShortShortUInt(count)) => i64::from(*count),
        Some(AMQPValue::ShortInt(count)) => i64::from(*count),
        Some(AMQPValue::ShortUInt(count)) => i64::from(*count),
        Some(AMQPValue::LongInt(count)) => i64::from(*count),
        Some(AMQPValue::LongUInt(count)) => i64::from(*count),
        Some(AMQPValue::LongLongInt(count)) => *count,
        _ => 0,
    };
    u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}

/// Returns the TTL of a message from now on, in milliseconds, or `None` when its TTL is at most
/// `ttl_ms`.
///
/// The property `expiration` is the whole TTL, which began at the header `x-last-failed-at`. It
/// begins now when that header is missing or absurd, or when there is no expiration: others may
/// have published the message.
pub(super) fn shortened_ttl(delivery: &Delivery, ttl_ms: u32, now: OffsetDateTime) -> Option<u64> {
    let ttl = u64::from(ttl_ms);
    let expiration = delivery.properties().expiration().as_ref();
    let Some(expiration) = expiration.and_then(|text| text.as_str().parse::<u64>().ok()) else {
        return Some(ttl);
    };
    if expiration <= ttl {
        return None;
    }
    let waited = headers::last_failed_at(delivery)
        .and_then(|since| u64::try_from((now - since).whole_milliseconds()).ok());
    let left = waited.and_then(|waited| expiration.checked_sub(waited)).filter(|left| *left > 0);
    Some(left.map_or(ttl, |left| left.min(ttl)))
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::BasicProperties;
    use amq_protocol::types::FieldTable;
    use amqp::{Envelope, content_header};

    use super::*;
    use crate::consumer::topology::WORK_QUEUE;

    const NOON: OffsetDateTime = time::macros::datetime!(2026-02-01 12:00 UTC);

    fn delivery<const N: usize>(headers: [(&str, AMQPValue); N]) -> Delivery {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(name.into(), value);
        }
        let envelope = Envelope {
            tag: 1,
            redelivered: false,
            exchange: "orders.events".to_owned(),
            routing_key: "order.created".to_owned(),
        };
        let properties = BasicProperties::default().with_headers(table);
        Delivery::new(envelope, content_header(0, &properties), Vec::new().into())
    }

    #[test]
    fn an_absurd_retry_count_counts_as_none_and_a_huge_one_as_exhausted() {
        for (value, expected) in [
            (AMQPValue::LongLongInt(7), 7),
            (AMQPValue::ShortShortUInt(7), 7),
            (AMQPValue::LongLongInt(-1), 0),
            (AMQPValue::LongInt(i32::MIN), 0),
            (AMQPValue::LongLongInt(i64::MAX), u32::MAX),
            (AMQPValue::LongString("7".into()), 0),
            (AMQPValue::Void, 0),
            (AMQPValue::Boolean(true), 0),
            (AMQPValue::FieldTable(FieldTable::default()), 0),
        ] {
            let message = delivery([(RETRY_COUNT, value.clone())]);
            assert_eq!(retry_count(&message), expected, "{value:?}");
        }
        assert_eq!(retry_count(&delivery([])), 0);
    }

    #[test]
    fn a_message_moved_back_from_the_dead_letter_queue_has_had_no_retries() {
        let tries = (TRIES, AMQPValue::LongLongInt(21));
        assert_eq!(retry_count(&delivery([(RETRY_COUNT, AMQPValue::LongLongInt(20)), tries])), 0);
    }

    #[test]
    fn retries_end_at_the_maximum_and_only_those_that_are_charged() {
        for (failure, retries, expected) in [
            (FailureKind::Retryable, 0, Destination::Retry { count: 1 }),
            (FailureKind::Retryable, 19, Destination::Retry { count: 20 }),
            (FailureKind::Retryable, 20, Destination::DeadLetter { tries: 21 }),
            (FailureKind::Retryable, u32::MAX, Destination::DeadLetter { tries: u32::MAX }),
            (FailureKind::Uncharged, 20, Destination::Retry { count: 20 }),
            (FailureKind::Permanent, 0, Destination::DeadLetter { tries: 1 }),
        ] {
            assert_eq!(Destination::of(failure, retries, 20), expected, "{failure:?} {retries}");
        }
    }

    fn wait(expiration: Option<&str>, failed_at: Option<&str>) -> Option<u64> {
        let mut properties = BasicProperties::default();
        if let Some(expiration) = expiration {
            properties = properties.with_expiration(expiration.into());
        }
        if let Some(at) = failed_at {
            let mut headers = FieldTable::default();
            headers.insert("x-last-failed-at".into(), AMQPValue::LongString(at.into()));
            properties = properties.with_headers(headers);
        }
        let routing_key = WORK_QUEUE.to_owned();
        let exchange = RETRY_EXCHANGE.to_owned();
        let envelope = Envelope { tag: 1, redelivered: false, exchange, routing_key };
        let header = content_header(0, &properties);
        shortened_ttl(&Delivery::new(envelope, header, Vec::new().into()), 10_000, NOON)
    }

    #[test]
    fn a_ttl_is_shortened_and_never_lengthened() {
        for (expiration, failed_at, expected) in [
            (Some("1"), None, None),
            (Some("10000"), Some("2026-02-01T12:00:00Z"), None),
            (Some("10001"), None, Some(10_000)),
            (Some("600000"), Some("2026-02-01T12:00:00Z"), Some(10_000)),
            (Some("600000"), Some("2026-02-01T11:59:00Z"), Some(10_000)),
            (Some("600000"), Some("2026-02-01T11:50:03Z"), Some(3_000)),
            // Expired by the clock, but not by the broker.
            (Some("600000"), Some("2026-02-01T11:50:00Z"), Some(10_000)),
            (Some("600000"), Some("2026-01-01T00:00:00Z"), Some(10_000)),
            (Some("600000"), Some("2026-02-01T12:05:00Z"), Some(10_000)),
            (Some("600000"), Some("yesterday"), Some(10_000)),
            // No expiration, or one that no broker accepts.
            (None, None, Some(10_000)),
            (Some("soon"), Some("2026-02-01T12:00:00Z"), Some(10_000)),
            (Some("99999999999999999999"), None, Some(10_000)),
        ] {
            assert_eq!(wait(expiration, failed_at), expected, "{expiration:?} {failed_at:?}");
        }
    }
}
