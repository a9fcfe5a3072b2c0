//! Forgets events that were counted long enough ago: by one consumer at a time, in small batches, on a session of its own, so that
//! it never holds up the counting.

use std::time::Duration;

use service_kit::postgres::{DatabaseUrl, connect};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::config::{ConsumerConfig, Retention};
use super::counter::require_dedicated_session;
use super::metrics;
use crate::queries::{self, PRUNE_EVENTS};

/// Events that a statement forgets.
const BATCH_SIZE: i64 = 1000;

/// The least pause between two statements.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// Prunes now and then until `stop`, if events are to be forgotten some time after they were counted.
pub(super) async fn prune_periodically(config: &ConsumerConfig, stop: &CancellationToken) {
    let Retention::For(retention) = config.processed_events_retention else {
        return;
    };
    let interval = (retention / 10).clamp(Duration::from_secs(1), Duration::from_mins(10));
    let (url, limit) = (config.database.url(), config.database_statement_timeout);
    while !wait_for_stop(interval, stop).await {
        let pruned = tokio::select! {
            () = stop.cancelled() => return,
            pruned = prune(url, retention, limit) => pruned,
        };
        match pruned {
            Ok(0) => (),
            Ok(events) => tracing::info!(events, "forgot events that were counted long ago"),
            // Whether the database can be reached is told by the counting itself.
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "old events could not be forgotten: trying again later"
                );
            }
        }
    }
}

/// Forgets all that is old enough, unless another consumer is at it. Returns how many events that were.
async fn prune(url: &DatabaseUrl, retention: Duration, limit: Duration) -> anyhow::Result<u64> {
    let session = connect(url, "customer-service consumer: pruning").await?;
    require_dedicated_session(url, &session).await.map_err(anyhow::Error::msg)?;
    let client = &session.client;
    // Read through the index, whatever the statistics say.
    let settings = format!(
        "SET statement_timeout = {}; SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off",
        limit.as_millis()
    );
    timeout(limit, client.batch_execute(&settings)).await??;
    if !timeout(limit, queries::lock_pruning(client)).await?? {
        return Ok(0);
    }
    let statement = timeout(limit, client.prepare(PRUNE_EVENTS)).await??;
    let (mut pruned, mut from) = (0, None);
    loop {
        let batch = queries::prune_events(client, &statement, retention, BATCH_SIZE, from);
        // The server gives up first.
        let batch = timeout(limit + Duration::from_secs(1), batch).await??;
        let deleted = u64::try_from(batch.deleted)?;
        metrics::pruned(deleted);
        pruned += deleted;
        from = batch.newest;
        if batch.scanned < BATCH_SIZE {
            return Ok(pruned);
        }
        tokio::time::sleep(MIN_PAUSE).await;
    }
}

/// Waits; says whether it is time to stop.
async fn wait_for_stop(duration: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(duration) => false,
    }
}
