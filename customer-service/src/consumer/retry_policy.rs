//! Decides whether a message that was not counted is tried again or goes to a person, and how long
//! it waits for its next try. It does no I/O.

use amqp::Delivery;
use time::OffsetDateTime;

use super::headers;
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
    use amq_protocol::types::{AMQPValue, FieldTable};
    use amqp::{DeliveryInfo, content_header};

    use super::*;
    use crate::consumer::topology::WORK_QUEUE;

    const NOON: OffsetDateTime = time::macros::datetime!(2026-02-01 12:00 UTC);

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
        let info = DeliveryInfo { tag: 1, redelivered: false, exchange, routing_key };
        let header = content_header(0, &properties);
        shortened_ttl(&Delivery::new(info, header, Vec::new().into()), 10_000, NOON)
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
