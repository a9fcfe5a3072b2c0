//! The consumer's own headers: reads those of a message, and makes those of its copies.
//!
//! | header | meaning |
//! |---|---|
//! | `x-retry-count` | how many retries it has had |
//! | `x-reason` | why the latest try failed |
//! | `x-first-failed-at` | when the first try failed (RFC 3339, UTC) |
//! | `x-last-failed-at` | when the latest try failed |
//! | `x-original-exchange`, `x-original-routing-key` | where it was first published |
//! | `x-tries` | how many tries it had; in the dead-letter queue only |
//!
//! A message that comes with `x-tries` was moved back from the dead-letter queue by a person.
//!
//! Other headers are copied, except those that the broker writes or obeys.

use amq_protocol::types::{AMQPValue, FieldTable};
use amqp::Delivery;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(super) const RETRY_COUNT: &str = "x-retry-count";
pub(super) const TRIES: &str = "x-tries";
const REASON: &str = "x-reason";
const FIRST_FAILED_AT: &str = "x-first-failed-at";
const LAST_FAILED_AT: &str = "x-last-failed-at";
const ORIGINAL_EXCHANGE: &str = "x-original-exchange";
const ORIGINAL_ROUTING_KEY: &str = "x-original-routing-key";

/// All headers that the consumer writes.
const OWN_HEADERS: [&str; 7] = [
    RETRY_COUNT,
    TRIES,
    REASON,
    FIRST_FAILED_AT,
    LAST_FAILED_AT,
    ORIGINAL_EXCHANGE,
    ORIGINAL_ROUTING_KEY,
];

/// Headers that the broker writes, or by which it would route the copy elsewhere.
const BROKER_HEADERS: [&str; 5] =
    ["x-death", "x-delivery-count", "x-opt-delivery-count", "CC", "BCC"];
const BROKER_PREFIXES: [&str; 2] = ["x-first-death-", "x-last-death-"];

/// Longer reasons are cut.
const MAX_REASON_CHARS: usize = 500;

/// The largest value that the consumer writes: a reason of four-byte characters.
const MAX_OWN_VALUE_SIZE: usize = 5 + 4 * MAX_REASON_CHARS;

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

/// Returns the headers of a copy of `delivery` that is redirected because of `reason`, with the
/// `counts` of its retries and tries.
///
/// All headers must fit into one frame. When they would take more than `room` bytes, only the
/// consumer's own remain.
pub(super) fn for_redirect(
    delivery: &Delivery,
    reason: &str,
    now: OffsetDateTime,
    counts: &[(&str, u32)],
    room: usize,
) -> FieldTable {
    let now = now.format(&Rfc3339).unwrap_or_default();
    let first_failed_at = string(delivery, FIRST_FAILED_AT)
        .filter(|text| OffsetDateTime::parse(text, &Rfc3339).is_ok())
        .unwrap_or_else(|| now.clone());
    let original = |name, here: &str| {
        // Others may have set a longer one.
        let before = string(delivery, name).filter(|text| text.len() <= usize::from(u8::MAX));
        before.unwrap_or_else(|| here.to_owned())
    };

    let mut ours = FieldTable::default();
    for (name, value) in [
        (REASON, truncate(reason)),
        (FIRST_FAILED_AT, first_failed_at),
        (LAST_FAILED_AT, now),
        (ORIGINAL_EXCHANGE, original(ORIGINAL_EXCHANGE, &delivery.info.exchange)),
        (ORIGINAL_ROUTING_KEY, original(ORIGINAL_ROUTING_KEY, &delivery.info.routing_key)),
    ] {
        ours.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    for (name, count) in counts {
        ours.insert((*name).into(), AMQPValue::LongLongInt(i64::from(*count)));
    }

    // `x-tries` is only for the dead-letter queue.
    let mut all = copy_headers(delivery, |name| name != TRIES);
    for (name, value) in &ours {
        all.insert(name.clone(), value.clone());
    }
    if size(&all) > room { ours } else { all }
}

/// Returns the headers of a copy of `delivery` that has the same way to go, with where the original
/// was first published. When they would take more than `room` bytes, only the consumer's own
/// remain, without any that is larger than the consumer writes it.
pub(super) fn for_same_route(delivery: &Delivery, room: usize) -> FieldTable {
    let mut all = copy_headers(delivery, |_| true);
    let is_missing = string(delivery, ORIGINAL_EXCHANGE).is_none();
    if is_missing && !delivery.info.exchange.is_empty() {
        let info = &delivery.info;
        for (name, value) in
            [(ORIGINAL_EXCHANGE, &info.exchange), (ORIGINAL_ROUTING_KEY, &info.routing_key)]
        {
            all.insert(name.into(), AMQPValue::LongString(value.as_str().into()));
        }
    }
    if size(&all) <= room {
        return all;
    }
    let mut ours = FieldTable::default();
    for (name, value) in all.inner() {
        if OWN_HEADERS.contains(&name.as_str()) && value_size(value) <= MAX_OWN_VALUE_SIZE {
            ours.insert(name.clone(), value.clone());
        }
    }
    ours
}

/// When the latest try of `delivery` failed, as its header says.
pub(super) fn last_failed_at(delivery: &Delivery) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(&string(delivery, LAST_FAILED_AT)?, &Rfc3339).ok()
}

/// Copies the headers of `delivery` for which `is_wanted` returns true, without the broker's.
fn copy_headers(delivery: &Delivery, is_wanted: impl Fn(&str) -> bool) -> FieldTable {
    let mut copied = FieldTable::default();
    for (name, value) in delivery.properties().headers().iter().flatten() {
        let is_broker_header = BROKER_HEADERS.contains(&name.as_str())
            || BROKER_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
        if !is_broker_header && is_wanted(name.as_str()) {
            copied.insert(name.clone(), value.clone());
        }
    }
    copied
}

/// Returns the value of a header.
fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a AMQPValue> {
    delivery.properties().headers().as_ref()?.inner().get(name)
}

fn string(delivery: &Delivery, name: &str) -> Option<String> {
    match header(delivery, name)? {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        _ => None,
    }
}

/// Returns the first characters of a reason.
pub(super) fn truncate(reason: &str) -> String {
    reason.chars().take(MAX_REASON_CHARS).collect()
}

/// An upper bound of the bytes that `table` takes on the wire.
fn size(table: &FieldTable) -> usize {
    let entries = table.inner().iter();
    4 + entries.map(|(name, value)| 1 + name.as_str().len() + value_size(value)).sum::<usize>()
}

fn value_size(value: &AMQPValue) -> usize {
    1 + match value {
        AMQPValue::LongString(text) => 4 + text.len(),
        AMQPValue::ByteArray(bytes) => 4 + bytes.len(),
        AMQPValue::ShortString(text) => 1 + text.as_str().len(),
        AMQPValue::FieldArray(values) => {
            4 + values.as_slice().iter().map(value_size).sum::<usize>()
        }
        AMQPValue::FieldTable(table) => size(table),
        _ => 8,
    }
}

#[cfg(test)]
mod tests;
