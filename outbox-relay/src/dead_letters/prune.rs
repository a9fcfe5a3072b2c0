//! Deletes rows of returned and discarded dead letters whose retention time has passed, in small
//! batches, over a session of its own.

use std::time::Duration;

use anyhow::anyhow;
use service_kit::postgres::{connect_writable, reason};
use service_kit::prune::{PrunePasses, pass_interval, pause};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::metrics::QueueMetrics;
use super::queries;
use crate::config::{CollectorConfig, DeadLetterRetention};

/// Rows per statement. A row may be large.
const BATCH_SIZE: i64 = 500;

/// The pause between two statements.
const PAUSE: Duration = Duration::from_millis(20);

/// Prunes periodically until `stop`, if rows are to be deleted at all.
pub(super) async fn run(config: &CollectorConfig, stop: &CancellationToken) {
    let DeadLetterRetention::For(retention) = config.dead_letters_retention else {
        return;
    };
    let interval = pass_interval(retention, Duration::from_mins(10));
    let passes = PrunePasses { rows: "settled dead letters", interval, stop };
    while passes.is_due().await {
        passes.report(Box::pin(pass(config, retention, stop)).await);
    }
}

/// Deletes all rows whose retention has passed. Returns how many.
async fn pass(
    config: &CollectorConfig,
    retention: Duration,
    stop: &CancellationToken,
) -> anyhow::Result<u64> {
    let session =
        connect_writable(config.database.url(), "outbox-relay dead-letters prune").await?;
    let (queue, limit) = (&config.collect.queue, config.collect.statement_timeout);
    let metrics = QueueMetrics::of(queue);
    let mut deleted = 0;
    loop {
        let pruning = queries::prune(&session.client, queue, retention.as_secs_f64(), BATCH_SIZE);
        let rows = timeout(limit, pruning)
            .await
            .map_err(|_| anyhow!("the database takes longer than {limit:?}"))?
            .map_err(|error| anyhow!("{}", reason(&error)))?;
        metrics.pruned(rows);
        deleted += rows;
        if rows < BATCH_SIZE.unsigned_abs() || pause(PAUSE, stop).await {
            return Ok(deleted);
        }
    }
}
