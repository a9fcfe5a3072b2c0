//! The headers of a message that is moved to the retry or the dead-letter queue.
//!
//! | header | meaning |
//! |---|---|
//! | `x-retry-count` | how many times it was sent to be tried again |
//! | `x-reason` | why it was moved, the latest time |
//! | `x-first-failed-at`, `x-last-failed-at` | when a try failed first and last (RFC 3339, UTC) |
//! | `x-original-exchange`, `x-original-routing-key` | how it came to the queue first |
//! | `x-tries` | in the dead-letter queue only: how many tries it had. A message that comes back with it, since a person moved it back, starts afresh |
//!
//! Whatever other headers it had it keeps, except those that the broker owns or obeys.

use amq_protocol::types::{AMQPValue, FieldTable};
use service_kit::amqp::Delivery;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(super) const RETRY_COUNT: &str = "x-retry-count";
pub(super) const TRIES: &str = "x-tries";
const REASON: &str = "x-reason";
const FIRST_FAILED_AT: &str = "x-first-failed-at";
const LAST_FAILED_AT: &str = "x-last-failed-at";
const ORIGINAL_EXCHANGE: &str = "x-original-exchange";
const ORIGINAL_ROUTING_KEY: &str = "x-original-routing-key";

/// All of these.
const OWN_HEADERS: [&str; 7] = [
    RETRY_COUNT,
    TRIES,
    REASON,
    FIRST_FAILED_AT,
    LAST_FAILED_AT,
    ORIGINAL_EXCHANGE,
    ORIGINAL_ROUTING_KEY,
];

/// What the broker writes itself, and what it would send the copy elsewhere for.
const BROKER_HEADERS: [&str; 5] =
    ["x-death", "x-delivery-count", "x-opt-delivery-count", "CC", "BCC"];
const BROKER_PREFIXES: [&str; 2] = ["x-first-death-", "x-last-death-"];

/// A reason is for people: no longer than they read.
const MAX_REASON_CHARS: usize = 500;

/// No value that the consumer writes takes more bytes: a reason of the longest characters.
const MAX_OWN_VALUE_SIZE: usize = 5 + 4 * MAX_REASON_CHARS;

/// The headers of a copy of `delivery` that is moved because of `reason`; `own` come on top.
///
/// A frame holds all headers and can't be split: when they would take more than `room` bytes only ours remain.
pub(super) fn for_redirect(
    delivery: &Delivery,
    reason: &str,
    now: OffsetDateTime,
    own: &[(&str, u32)],
    room: usize,
) -> FieldTable {
    let now = now.format(&Rfc3339).unwrap_or_default();
    let first_failed_at = string(delivery, FIRST_FAILED_AT)
        .filter(|text| OffsetDateTime::parse(text, &Rfc3339).is_ok())
        .unwrap_or_else(|| now.clone());
    let original = |name, here: &str| {
        // A string of the usual length only: it may have been set outside.
        let before = string(delivery, name).filter(|text| text.len() <= usize::from(u8::MAX));
        before.unwrap_or_else(|| here.to_owned())
    };

    let mut ours = FieldTable::default();
    for (name, value) in [
        (REASON, truncate(reason)),
        (FIRST_FAILED_AT, first_failed_at),
        (LAST_FAILED_AT, now),
        (ORIGINAL_EXCHANGE, original(ORIGINAL_EXCHANGE, &delivery.envelope.exchange)),
        (ORIGINAL_ROUTING_KEY, original(ORIGINAL_ROUTING_KEY, &delivery.envelope.routing_key)),
    ] {
        ours.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    for (name, count) in own {
        ours.insert((*name).into(), AMQPValue::LongLongInt(i64::from(*count)));
    }

    // The count of tries belongs to the dead-letter queue.
    let mut all = copy_headers(delivery, |name| name != TRIES);
    for (name, value) in &ours {
        all.insert(name.clone(), value.clone());
    }
    if size(&all) > room { ours } else { all }
}

/// The headers of a copy of `delivery` that goes to where it would have gone anyway. It says as well how the original came to the queue first. When
/// they would take more than `room` bytes only ours remain, and of those none that is larger than the consumer makes them: it was set outside.
pub(super) fn for_same_route(delivery: &Delivery, room: usize) -> FieldTable {
    let mut all = copy_headers(delivery, |_| true);
    let is_missing = string(delivery, ORIGINAL_EXCHANGE).is_none();
    if is_missing && !delivery.envelope.exchange.is_empty() {
        let envelope = &delivery.envelope;
        for (name, value) in
            [(ORIGINAL_EXCHANGE, &envelope.exchange), (ORIGINAL_ROUTING_KEY, &envelope.routing_key)]
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

/// When the consumer sent `delivery` to be tried again, as its header says.
pub(super) fn last_failed_at(delivery: &Delivery) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(&string(delivery, LAST_FAILED_AT)?, &Rfc3339).ok()
}

/// Those headers of `delivery` that are wanted and not the broker's.
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
pub(super) fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a AMQPValue> {
    delivery.properties().headers().as_ref()?.inner().get(name)
}

fn string(delivery: &Delivery, name: &str) -> Option<String> {
    match header(delivery, name)? {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        _ => None,
    }
}

fn truncate(reason: &str) -> String {
    reason.chars().take(MAX_REASON_CHARS).collect()
}

/// How many bytes `table` takes on the wire, at the most.
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
