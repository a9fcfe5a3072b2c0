//! The headers and properties of a message's copy in the retry or the dead-letter queue.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Headers that a copy must not have: the broker writes them, or would route by them.
const BROKER_HEADERS: [&str; 5] =
    ["x-death", "x-delivery-count", "x-opt-delivery-count", "CC", "BCC"];
const BROKER_PREFIXES: [&str; 2] = ["x-first-death-", "x-last-death-"];

/// How many retries a message has had. One with `x-tries` was moved back from the dead-letter queue
/// and has all its tries again.
pub fn retry_count(message: &Delivery) -> i64 {
    match (header(message, "x-tries"), header(message, "x-retry-count")) {
        (None, Some(AMQPValue::LongLongInt(count))) => *count,
        _ => 0,
    }
}

fn header<'a>(message: &'a Delivery, name: &str) -> Option<&'a AMQPValue> {
    message.properties.headers().as_ref()?.inner().get(name)
}

/// Returns the headers of a copy of a message that could not be applied, for this reason.
pub fn for_copy(original: &Delivery, reason: &str, retries: i64, is_retry: bool) -> FieldTable {
    let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut headers = FieldTable::default();
    headers.insert("x-first-failed-at".into(), text(&now));
    headers.insert("x-original-exchange".into(), text(original.exchange.as_str()));
    headers.insert("x-original-routing-key".into(), text(original.routing_key.as_str()));
    for (name, value) in original.properties.headers().iter().flatten() {
        let is_brokers = BROKER_HEADERS.contains(&name.as_str())
            || BROKER_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
        if !is_brokers && name.as_str() != "x-tries" {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers.insert("x-last-failed-at".into(), text(&now));
    headers.insert("x-reason".into(), text(&reason.chars().take(500).collect::<String>()));
    let count = if is_retry { retries + 1 } else { retries };
    headers.insert("x-retry-count".into(), AMQPValue::LongLongInt(count));
    if !is_retry {
        headers.insert("x-tries".into(), AMQPValue::LongLongInt(retries + 1));
    }
    headers
}

/// Returns the properties of a copy: without `expiration`, which would delete a dead letter, and
/// without `user_id`, as the broker accepts only the connection's own user.
pub fn copy_properties(original: &BasicProperties) -> BasicProperties {
    const PERSISTENT: u8 = 2;
    let mut copy = BasicProperties::default().with_delivery_mode(PERSISTENT);
    if let Some(id) = original.message_id() {
        copy = copy.with_message_id(id.clone());
    }
    if let Some(kind) = original.kind() {
        copy = copy.with_type(kind.clone());
    }
    if let Some(content_type) = original.content_type() {
        copy = copy.with_content_type(content_type.clone());
    }
    if let Some(timestamp) = original.timestamp() {
        copy = copy.with_timestamp(*timestamp);
    }
    if let Some(app_id) = original.app_id() {
        copy = copy.with_app_id(app_id.clone());
    }
    copy
}
