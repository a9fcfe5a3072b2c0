//! Deletes the ids of events that were counted before the retention time. One consumer at a time
//! does so, in small batches over a session of its own, so that counting never waits for it.

use std::time::Duration;

use service_kit::postgres::{DatabaseUrl, connect};
use service_kit::prune::{PrunePasses, pass_interval};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::config::{ConsumerConfig, Retention};
use super::counter::require_dedicated_session;
use super::metrics;
use crate::queries::{self, PRUNE_EVENTS};

/// Events per statement.
const BATCH_SIZE: i64 = 1000;

/// The pause between two statements.
const PAUSE: Duration = Duration::from_millis(20);

/// Prunes periodically until `stop`, unless the retention is unlimited.
pub(super) async fn run(config: &ConsumerConfig, stop: &CancellationToken) {
    let Retention::For(retention) = config.processed_events_retention else {
        return;
    };
    let interval = pass_interval(retention, Duration::from_mins(10));
    let (url, statement_timeout) = (config.database.url(), config.database_statement_timeout);
    let passes = PrunePasses { rows: "events that were counted long ago", interval, stop };
    while passes.is_due().await {
        let pruning = prune(url, retention, statement_timeout);
        passes.report(stop.run_until_cancelled(pruning).await.unwrap_or(Ok(0)));
    }
}

/// Deletes all events that are old enough, unless another consumer does so now. Returns how many.
async fn prune(
    url: &DatabaseUrl,
    retention: Duration,
    statement_timeout: Duration,
) -> anyhow::Result<u64> {
    let session = connect(url, "customer-service consumer: pruning").await?;
    require_dedicated_session(url, &session).await.map_err(anyhow::Error::msg)?;
    let client = &session.client;
    // Force the index, whatever the statistics are.
    let settings = format!(
        "SET statement_timeout = {}; SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off",
        statement_timeout.as_millis()
    );
    timeout(statement_timeout, client.batch_execute(&settings)).await??;
    if !timeout(statement_timeout, queries::lock_pruning(client)).await?? {
        return Ok(0);
    }
    let statement = timeout(statement_timeout, client.prepare(PRUNE_EVENTS)).await??;
    let (mut pruned, mut from) = (0, None);
    loop {
        let batch = queries::prune_events(client, &statement, retention, BATCH_SIZE, from);
        // statement_timeout expires first.
        let batch = timeout(statement_timeout + Duration::from_secs(1), batch).await??;
        let deleted = u64::try_from(batch.deleted)?;
        metrics::pruned(deleted);
        pruned += deleted;
        from = batch.newest;
        if batch.scanned < BATCH_SIZE {
            return Ok(pruned);
        }
        sleep(PAUSE).await;
    }
}
