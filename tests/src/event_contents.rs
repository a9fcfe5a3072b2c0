//! Events with payloads and headers that a test chooses, and their outcomes.

use std::time::{Duration, Instant};

use anyhow::ensure;
use outbox_relay::TickOutcome;

use crate::outbox::{Outbox, PATIENCE, Stepped};

/// Steps until `stuck` events are stuck and all others are published. Fails if the relay is
/// unavailable twice in a row.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn until_the_others_are_published(
    outbox: &Outbox,
    relay: &mut Stepped,
    stuck: i64,
) -> anyhow::Result<()> {
    const ENDED: &str = "SELECT count(*) FROM outbox WHERE next_attempt_at = 'infinity'";
    let end = Instant::now() + PATIENCE;
    let (mut connected, mut last) = (false, TickOutcome::Unavailable);
    loop {
        let now = Box::pin(relay.relay.tick()).await;
        ensure!(
            !connected || (last, now) != (TickOutcome::Unavailable, TickOutcome::Unavailable),
            "the relay can't work: {:?}",
            relay.health.statuses()
        );
        (connected, last) = (connected || now != TickOutcome::Unavailable, now);
        if outbox.count(ENDED, &[]).await? == stuck && outbox.pending().await? == stuck {
            return Ok(());
        }
        ensure!(
            Instant::now() < end,
            "the relay is {now:?}; stuck or waiting: {:?}",
            reasons(outbox).await?
        );
        if now != TickOutcome::Worked {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// `last_error` of each pending event, with its aggregate's id.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn reasons(outbox: &Outbox) -> anyhow::Result<Vec<(String, Option<String>)>> {
    let rows = "SELECT left(aggregate_id, 20), last_error FROM outbox WHERE published_at IS NULL ORDER BY id";
    let rows = outbox.sql.query(rows, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// `last_error` of this aggregate's pending event.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn reason(outbox: &Outbox, aggregate_id: &str) -> anyhow::Result<String> {
    let reasons = reasons(outbox).await?;
    let reason = reasons.into_iter().find(|(id, _)| id == aggregate_id);
    Ok(reason.and_then(|(_, reason)| reason).unwrap_or_default())
}

/// Adds an event; `payload` and `headers` are SQL expressions.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn add(
    outbox: &Outbox,
    aggregate_id: &str,
    payload: &str,
    headers: &str,
) -> anyhow::Result<()> {
    let insert = format!(
        "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
         SELECT 'order', '{aggregate_id}', 'order.created', {payload}, {headers}"
    );
    Ok(outbox.sql.batch_execute(&insert).await?)
}

/// Adds plain events, each of a separate aggregate.
///
/// # Errors
/// When it takes too long, or a server does not answer.
pub async fn add_plain(outbox: &Outbox, count: i32) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
                  SELECT 'plain', n::text, 'order.created', '{}' FROM generate_series(1, $1::integer) AS n";
    outbox.sql.execute(insert, &[&count]).await?;
    Ok(())
}
