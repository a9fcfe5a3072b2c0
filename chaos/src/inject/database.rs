//! Faults that other sessions make in a database.

use std::time::Duration;

use anyhow::{Context as _, bail};
use pipeline_tests::command::run;
use pipeline_tests::pipeline::connect;
use tokio::time::{sleep, timeout};

use crate::topology::Topology;

/// How long the server may take to answer the nemesis, which it may be unable to.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a server may take to recover once it has room again.
const RECOVERED: Duration = Duration::from_secs(60);

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

/// Fills the disk of the server that has a small one, which may be the primary or the standby, and
/// makes room again. Returns false: whether anybody was refused is not known here.
pub(super) async fn full_disk(
    target: &str,
    lasts: Duration,
    topology: &Topology,
) -> anyhow::Result<bool> {
    let postgres = topology.postgres(target)?;
    let disk = postgres.disk.as_ref().context("its disk is not small")?;
    let mut servers = postgres.servers.lock().await;
    tokio::task::block_in_place(|| disk.fill())?;
    sleep(lasts).await;
    disk.free()?;
    let server = servers.on(disk);
    // It has ended if it found no room for its log.
    server.start().await?;
    let url = server.url("postgres");
    let answers = async {
        while connect(&url).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(RECOVERED, answers).await.context("it does not recover from the full disk")?;
    Ok(false)
}
