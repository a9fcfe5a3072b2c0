//! `x-death`: what RabbitMQ notes when it dead-letters a message itself
//! (<https://www.rabbitmq.com/docs/dlx#effects>).

use amq_protocol::types::{AMQPValue, FieldTable};
use time::OffsetDateTime;

use super::headers;

/// The header, a list with the latest death first.
const X_DEATH: &str = "x-death";

/// What one queue did with the message for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Death {
    pub(super) queue: String,
    /// rejected, expired, maxlen or `delivery_limit`.
    pub(super) reason: String,
    pub(super) exchange: Option<String>,
    /// The first of the keys that it was published with.
    pub(super) routing_key: Option<String>,
    /// How often this happened.
    pub(super) count: i64,
    pub(super) time: Option<OffsetDateTime>,
}

/// Reads the deaths of a message, the latest first. Malformed entries are skipped: a client may
/// have written the header.
pub(super) fn deaths(table: &FieldTable) -> Vec<Death> {
    let Some(AMQPValue::FieldArray(entries)) = table.inner().get(X_DEATH) else {
        return Vec::new();
    };
    entries.as_slice().iter().filter_map(death).collect()
}

/// Returns the death that brought the message to `dead_letter_queue`: the latest one elsewhere that
/// is no expiry, as messages also expire in queues where they wait for a retry; or else the latest
/// one elsewhere.
pub(super) fn cause<'a>(deaths: &'a [Death], dead_letter_queue: &str) -> Option<&'a Death> {
    let mut elsewhere = deaths.iter().filter(|death| death.queue != dead_letter_queue);
    let first = elsewhere.clone().next();
    elsewhere.find(|death| death.reason != "expired").or(first)
}

fn death(entry: &AMQPValue) -> Option<Death> {
    let AMQPValue::FieldTable(entry) = entry else {
        return None;
    };
    let routing_key = match entry.inner().get("routing-keys") {
        Some(AMQPValue::FieldArray(keys)) => match keys.as_slice().first() {
            Some(AMQPValue::LongString(key)) => Some(headers::lossy(key.as_bytes())),
            _ => None,
        },
        _ => None,
    };
    Some(Death {
        queue: headers::text(entry, "queue")?,
        reason: headers::text(entry, "reason")?,
        exchange: headers::text(entry, "exchange"),
        routing_key,
        count: headers::count(entry, "count").unwrap_or(1),
        time: headers::time(entry, "time"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(queue: &str, reason: &str, count: i64) -> AMQPValue {
        let mut entry = FieldTable::default();
        entry.insert("queue".into(), AMQPValue::LongString(queue.into()));
        entry.insert("reason".into(), AMQPValue::LongString(reason.into()));
        entry.insert("exchange".into(), AMQPValue::LongString("orders".into()));
        let keys = vec![AMQPValue::LongString("order.created".into())];
        entry.insert("routing-keys".into(), AMQPValue::FieldArray(keys.into()));
        entry.insert("count".into(), AMQPValue::LongLongInt(count));
        entry.insert("time".into(), AMQPValue::Timestamp(1));
        AMQPValue::FieldTable(entry)
    }

    fn read(entries: Vec<AMQPValue>) -> Vec<Death> {
        let mut table = FieldTable::default();
        table.insert(X_DEATH.into(), AMQPValue::FieldArray(entries.into()));
        deaths(&table)
    }

    #[test]
    fn the_cause_is_the_latest_death_that_is_no_retry() {
        let all = read(vec![
            entry("work.dlq", "expired", 1),
            entry("work.retry", "expired", 3),
            entry("work", "rejected", 4),
        ]);
        let death = cause(&all, "work.dlq").expect("a death");
        assert_eq!((death.queue.as_str(), death.count), ("work", 4));
        assert_eq!(death.routing_key.as_deref(), Some("order.created"));
        let expired = read(vec![entry("work", "expired", 1)]);
        assert_eq!(cause(&expired, "work.dlq").map(|death| death.queue.as_str()), Some("work"));
    }

    #[test]
    fn what_is_no_death_is_skipped() {
        assert_eq!(read(vec![AMQPValue::Void, AMQPValue::FieldTable(FieldTable::default())]), []);
        let mut table = FieldTable::default();
        assert_eq!(deaths(&table), []);
        table.insert(X_DEATH.into(), AMQPValue::LongString("x".into()));
        assert_eq!(deaths(&table), []);
    }
}
