//! Events with reserved headers (`amqp-…`), and their messages.

use anyhow::{Context as _, ensure};
use lapin::message::BasicGetMessage;
use lapin::types::AMQPValue;

use crate::outbox::Outbox;

/// Adds an event of this aggregate with these headers, and returns its id.
///
/// # Errors
/// When the database refuses.
pub async fn add(outbox: &Outbox, aggregate: &str, headers: &str) -> anyhow::Result<i64> {
    add_with(outbox, aggregate, headers, "'{}'").await
}

/// The same with a payload, an SQL expression.
///
/// # Errors
/// When the database refuses.
pub async fn add_with(
    outbox: &Outbox,
    aggregate: &str,
    headers: &str,
    payload: &str,
) -> anyhow::Result<i64> {
    let insert = format!(
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
         VALUES ('order', $1, 'order.created', {payload}, $2::text::jsonb) RETURNING id"
    );
    Ok(outbox.sql.query_one(&insert, &[&aggregate, &headers]).await?.get(0))
}

/// The one message of a queue.
///
/// # Errors
/// When the queue has more or none.
pub async fn single(outbox: &Outbox, queue: &str) -> anyhow::Result<BasicGetMessage> {
    let mut messages = outbox.take_all(queue).await?;
    ensure!(messages.len() == 1, "{queue} has {} messages", messages.len());
    messages.pop().context("a message")
}

/// A header of a message.
#[must_use]
pub fn header(message: &BasicGetMessage, name: &str) -> Option<AMQPValue> {
    message.delivery.properties.headers().as_ref()?.inner().get(name).cloned()
}

/// `last_error` of an event that is stuck after its first attempt.
///
/// # Errors
/// When it is not, or the database refuses.
pub async fn stuck_reason(outbox: &Outbox, id: i64) -> anyhow::Result<String> {
    let row = outbox
        .sql
        .query_one(
            "SELECT last_error, attempts = 1 AND next_attempt_at = 'infinity' FROM outbox WHERE id = $1",
            &[&id],
        )
        .await?;
    ensure!(
        row.get::<_, Option<bool>>(1) == Some(true),
        "{id}: {:?}",
        row.get::<_, Option<&str>>(0)
    );
    Ok(row.get(0))
}
