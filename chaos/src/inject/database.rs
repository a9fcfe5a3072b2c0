//! Faults that other sessions make in a database.

use std::time::Duration;

use anyhow::bail;
use pipeline_tests::command::run;
use pipeline_tests::pipeline::connect;
use tokio::time::{sleep, timeout};

use crate::topology::Topology;

/// How long the server may take to answer the nemesis, which it may be unable to.
const ANSWER: Duration = Duration::from_secs(10);

/// Ends all sessions of a database. Returns true if there were any.
pub(super) async fn end_sessions(target: &str, topology: &Topology) -> anyhow::Result<bool> {
    let url = &topology.postgres(target)?.url;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let session = timeout(ANSWER, connect(url)).await??;
    Ok(session.execute(end, &[]).await? > 0)
}

/// Holds a lock on some pending rows. Returns true if there were any.
pub(super) async fn lock_rows(lasts: Duration, topology: &Topology) -> anyhow::Result<bool> {
    let mut session = timeout(ANSWER, connect(&topology.orders.url)).await??;
    let transaction = session.transaction().await?;
    let lock =
        "SELECT FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT 20 FOR UPDATE SKIP LOCKED";
    let locked = transaction.execute(lock, &[]).await?;
    sleep(lasts).await;
    transaction.rollback().await?;
    Ok(locked > 0)
}

/// Pauses an aggregate type, and resumes it. Returns true if events waited for that.
pub(super) async fn pause(
    aggregate_type: &str,
    lasts: Duration,
    topology: &Topology,
) -> anyhow::Result<bool> {
    let settings = [("DATABASE_URL", topology.orders.url.as_str()), ("OUTBOX_ACTOR", "nemesis")];
    let pause = ["pause", "--aggregate-type", aggregate_type, "--reason", "chaos", "--json"];
    let paused = run("outbox-relay", &pause, &settings).await?;
    // 3: a relay has not confirmed that it knows.
    if !matches!(paused.code, Some(0 | 3)) {
        bail!("pause: {paused:?}");
    }
    sleep(lasts).await;
    let session = timeout(ANSWER, connect(&topology.orders.url)).await??;
    let waiting =
        "SELECT EXISTS (SELECT FROM outbox WHERE aggregate_type = $1 AND published_at IS NULL)";
    let waiting = session.query_one(waiting, &[&aggregate_type]).await?.get(0);
    let resumed =
        run("outbox-relay", &["resume", "--aggregate-type", aggregate_type, "--json"], &settings)
            .await?;
    if !matches!(resumed.code, Some(0 | 3)) {
        bail!("resume: {resumed:?}");
    }
    Ok(waiting)
}
