//! Measures the throughput of the outbox while another session keeps a transaction open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::setup::{Arrivals, Events, Inserts, Outbox, Queue, RelayProgram, Servers};
use crate::usage::{cpu, cpu_with_children, peak_memory};

/// Sessions that write.
const WRITERS: usize = 2;

/// Events that a writer adds per statement.
const AT_ONCE: usize = 200;

/// The maximum backlog, so that the relay always has work but never a large backlog.
const AHEAD: usize = 10_000;

/// The timeout without progress.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The state of the other session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherSession {
    /// The other session has no transaction open.
    Idle,
    /// It holds a snapshot, as a backup or a long report does, so that dead rows can't be vacuumed.
    HoldsSnapshot,
    /// It has written an event and does not commit.
    HasWritten,
}

/// The measurements of a run.
#[derive(Debug)]
pub(crate) struct Throughput {
    /// Events per second in each tenth of the run.
    pub(crate) tenths: Vec<f64>,
    /// The time from the open transaction's commit to the arrival of its event.
    pub(crate) late: Option<Duration>,
    /// CPU time of PostgreSQL, including the writers and autovacuum.
    pub(crate) postgres_cpu: Duration,
    pub(crate) relay_cpu: Duration,
    /// The peak resident set size in bytes.
    pub(crate) relay_peak_memory: u64,
}

/// Publishes `events` events. Fails if one is lost or the other session ended early.
pub(crate) async fn measure(
    servers: &Servers,
    program: &RelayProgram,
    events: usize,
    other_session: OtherSession,
) -> anyhow::Result<Throughput> {
    let (outbox, queue) = tokio::try_join!(Outbox::new(servers), Queue::new(servers))?;
    let arrivals = Arc::new(Arrivals::watch(&queue).await?);
    let relay = program.start(&outbox, &queue).await?;
    // The relay is running.
    Inserts::new(&outbox).await?.add(Uuid::now_v7()).await?;
    arrivals.until(1, TIMEOUT).await?;
    arrivals.clear();

    let other = Inserts::new(&outbox).await?;
    let late_event = Uuid::now_v7();
    begin(&other, other_session, late_event).await?;
    let postgres = cpu_with_children(servers.postgres_pid()?)?;
    let relay_before = cpu(relay.pid())?;
    write(&outbox, &arrivals, events).await?;
    arrivals.until(events, TIMEOUT).await?;
    let relay_cpu = cpu(relay.pid())? - relay_before;
    let postgres_cpu = cpu_with_children(servers.postgres_pid()?)? - postgres;
    let tenths = tenths(&arrivals.times());

    let late = end(other.sql(), &arrivals, other_session, late_event).await?;
    let relay_peak_memory = peak_memory(relay.pid())?;
    relay.stop().await?;
    outbox.check_pending(0).await?;
    Ok(Throughput { tenths, late, postgres_cpu, relay_cpu, relay_peak_memory })
}

async fn begin(
    other: &Inserts,
    other_session: OtherSession,
    late_event: Uuid,
) -> anyhow::Result<()> {
    match other_session {
        OtherSession::Idle => {}
        OtherSession::HoldsSnapshot => {
            // The first statement takes the snapshot.
            other
                .sql()
                .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM outbox LIMIT 1")
                .await?;
        }
        OtherSession::HasWritten => {
            other.sql().batch_execute("BEGIN").await?;
            other.add(late_event).await?;
        }
    }
    Ok(())
}

/// Commits the other transaction, which must still be open. Its event, if any, must arrive.
async fn end(
    other: &Client,
    arrivals: &Arrivals,
    other_session: OtherSession,
    late_event: Uuid,
) -> anyhow::Result<Option<Duration>> {
    if other_session == OtherSession::Idle {
        return Ok(None);
    }
    other
        .batch_execute("SELECT FROM outbox LIMIT 1")
        .await
        .context("the open transaction ended")?;
    ensure!(arrivals.of(late_event).is_none(), "an event arrived that is not committed");
    let events = arrivals.count();
    other.batch_execute("COMMIT").await?;
    let committed = Instant::now();
    if other_session == OtherSession::HoldsSnapshot {
        return Ok(None);
    }
    arrivals.until(events + 1, TIMEOUT).await?;
    let arrived = arrivals.of(late_event).context("another event arrived than the late one")?;
    Ok(Some(arrived.saturating_duration_since(committed)))
}

async fn write(outbox: &Outbox, arrivals: &Arc<Arrivals>, events: usize) -> anyhow::Result<()> {
    let written = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let (arrivals, written) = (Arc::clone(arrivals), Arc::clone(&written));
        let sql = outbox.connect().await?;
        writers.spawn(async move {
            loop {
                let first = written.fetch_add(AT_ONCE, Ordering::Relaxed);
                if first >= events {
                    return anyhow::Ok(());
                }
                arrivals.until(first.saturating_sub(AHEAD), TIMEOUT).await?;
                let now = AT_ONCE.min(events - first);
                Events::distinct(now).insert(&sql).await?;
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    Ok(())
}

fn tenths(times: &[Instant]) -> Vec<f64> {
    let last = times.len().saturating_sub(1);
    let edges: Vec<usize> = (0..=10).map(|tenth| last * tenth / 10).collect();
    edges
        .windows(2)
        .map(|edge| {
            let seconds = (times[edge[1]] - times[edge[0]]).as_secs_f64();
            (edge[1] - edge[0]) as f64 / seconds
        })
        .collect()
}
