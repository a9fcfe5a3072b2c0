//! Events that an operator edits while a relay may have loaded them.

use uuid::Uuid;

use crate::outbox::Outbox;
use crate::proxy::Proxy;

/// Adds an event; returns its `event_id`. With a time of its next attempt one has failed.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn add(outbox: &Outbox, aggregate: &str, next: Option<&str>) -> anyhow::Result<String> {
    let insert =
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, next_attempt_at, attempts)
         VALUES ('order', $1, 'order.created', '{\"as\": \"before\"}', $2::text::timestamptz, CASE WHEN $2 IS NULL THEN 0 ELSE 1 END)
         RETURNING event_id";
    let row = outbox.sql.query_one(insert, &[&aggregate, &next]).await?;
    Ok(row.get::<_, Uuid>(0).to_string())
}

/// An outbox whose relays reach the broker through a proxy, which can hold back its confirms.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn before_a_proxy() -> anyhow::Result<(Outbox, Proxy)> {
    // A command that has to be built first would outlast the relay's patience with the broker.
    stack::binary("outbox-relay").await?;
    let mut outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let (broker, url) = Proxy::before(&outbox.vhost.amqp_url)?;
    outbox.vhost.amqp_url = url;
    Ok((outbox, broker))
}

/// What a relay reports of an audit row, by an advisory lock.
#[derive(Debug, Clone, Copy)]
pub enum AuditLock {
    /// It has seen the row, and holds nothing of an event from before it.
    Seen = 67,
    /// It had sent the row's event as it was before.
    InFlight = 68,
}

/// Whether a relay of this outbox's database reports `lock` of an audit row.
///
/// # Errors
/// When a server does not answer.
pub async fn is_reported(outbox: &Outbox, lock: AuditLock, audit_id: i64) -> anyhow::Result<bool> {
    // Other tests have relays on the same server.
    let held = "SELECT count(*) FROM pg_locks
                WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND locktype = 'advisory' AND classid::bigint = 1869968384 + $1::bigint AND objid::bigint = $2";
    Ok(outbox.count(held, &[&(lock as i64), &audit_id]).await? > 0)
}
