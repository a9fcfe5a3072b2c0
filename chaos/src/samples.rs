//! How much was pending at each moment, for the plot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pipeline_tests::pipeline::connect;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use crate::history::{History, now};
use crate::topology::Topology;

const INTERVAL: Duration = Duration::from_millis(500);
/// A server that is down or hangs gives no sample.
const ANSWER: Duration = Duration::from_secs(2);
const PENDING: &str = "
    SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
    FROM outbox
    WHERE published_at IS NULL AND (next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp())";

/// When an event was last found to have waited for a second: in microseconds since 1970, or 0.
pub(crate) type LastWait = Arc<AtomicU64>;

/// Records the number of due events and the age of the oldest, in seconds, until it is aborted.
pub(crate) fn take(
    topology: Arc<Topology>,
    history: Arc<History>,
    last_wait: LastWait,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut session = None;
        loop {
            let sample = timeout(ANSWER, sample(&topology, session.take())).await;
            if let Ok(Ok((open, pending, oldest))) = sample {
                if oldest >= 1.0 {
                    last_wait.store(now(), Ordering::Relaxed);
                }
                history.record(
                    "samples",
                    &json!({ "at": now(), "pending": pending, "oldest": oldest }),
                );
                session = Some(open);
            }
            sleep(INTERVAL).await;
        }
    })
}

async fn sample(
    topology: &Topology,
    session: Option<Client>,
) -> anyhow::Result<(Client, i64, f64)> {
    let session = match session {
        Some(open) => open,
        None => connect(&topology.orders.url).await?,
    };
    let row = session.query_one(PENDING, &[]).await?;
    let (pending, oldest) = (row.get(0), row.get(1));
    Ok((session, pending, oldest))
}
