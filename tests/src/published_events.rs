//! Events that are already published, for replays.

use lapin::message::BasicGetMessage;
use uuid::Uuid;

use crate::outbox::{Outbox, event_id};

/// Adds events of the aggregates 1 to `count` that were published `ago`, for example `1 hour`.
///
/// # Errors
/// When the database refuses.
pub async fn published(
    outbox: &Outbox,
    count: i32,
    event_type: &str,
    ago: &str,
) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, created_at, published_at)
                  SELECT 'order', i, $2, jsonb_build_object('n', i), '{\"traceparent\": \"00-1\", \"x-replayed\": \"no\"}',
                         now() - interval '1 year', now() - $3::text::interval
                  FROM generate_series(1, $1) AS i";
    outbox.sql.execute(insert, &[&count, &event_type, &ago]).await?;
    Ok(())
}

/// The `event_id`s of the rows that satisfy an SQL condition, in order.
///
/// # Errors
/// When the database refuses.
pub async fn ids(outbox: &Outbox, condition: &str) -> anyhow::Result<Vec<Uuid>> {
    let sql = format!("SELECT event_id FROM outbox WHERE {condition} ORDER BY id");
    Ok(outbox.sql.query(&sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// The `event_id`s of messages.
///
/// # Errors
/// When one has none.
pub fn sent(messages: &[BasicGetMessage]) -> anyhow::Result<Vec<Uuid>> {
    messages.iter().map(event_id).collect()
}
