//! What the suites about pauses share.

use anyhow::ensure;

use crate::outbox::{Outbox, eventually};

/// Adds an event with its number within its aggregate.
///
/// # Errors
/// When a server does not answer, or it takes too long.
pub async fn add(
    outbox: &Outbox,
    aggregate: &str,
    event_type: &str,
    number: i32,
) -> anyhow::Result<()> {
    let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
                  VALUES ('order', $1, $2, '{}', jsonb_build_object('number', $3::integer))";
    outbox.sql.execute(insert, &[&aggregate, &event_type, &number]).await?;
    Ok(())
}

/// Runs a command that succeeds.
///
/// # Errors
/// When a server does not answer, or it takes too long.
pub async fn run(outbox: &Outbox, arguments: &[&str]) -> anyhow::Result<String> {
    let ended = outbox.command(arguments).await?;
    ensure!(ended.code == Some(0), "{arguments:?}: {ended:?}");
    Ok(ended.out)
}

/// Waits until what may be published is published: an event of an aggregate of its own is.
///
/// # Errors
/// When a server does not answer, or it takes too long.
pub async fn others_are_published(outbox: &Outbox) -> anyhow::Result<()> {
    let id = outbox.add("probe", "probe.sent").await?;
    let pending = "SELECT count(*) FROM outbox WHERE id = $1 AND published_at IS NULL";
    eventually("others are published", async || Ok(outbox.count(pending, &[&id]).await? == 0)).await
}

/// How many events of an aggregate are not published yet.
///
/// # Errors
/// When a server does not answer, or it takes too long.
pub async fn pending_of(outbox: &Outbox, aggregate: &str) -> anyhow::Result<i64> {
    let pending = "SELECT count(*) FROM outbox WHERE aggregate_id = $1 AND published_at IS NULL";
    outbox.count(pending, &[&aggregate]).await
}
