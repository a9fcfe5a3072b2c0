//! Deletes events that were published long enough ago: by one relay at a time, in small batches, on a session of its own, so that
//! it never holds up the relaying.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::{Config, Retention};
use crate::database::{DatabaseError, Session};
use crate::measure;
use crate::queries::{self, PruneStatements};

/// Rows that a statement looks at.
const SLICE: i64 = 1000;

/// The least pause between two statements.
const PAUSE: Duration = Duration::from_millis(20);

/// Prunes now and then until `stop`, if events are to be deleted some time after they were published.
pub(crate) async fn run(config: &Config, stop: CancellationToken) {
    let Retention::For(retention) = config.retention.outbox_retention else {
        return;
    };
    let every = (retention / 10).clamp(Duration::from_secs(1), Duration::from_mins(1));
    while !pause(every, &stop).await {
        match Box::pin(prune(config, retention, &stop)).await {
            Ok(0) => (),
            Ok(events) => tracing::info!(events, "pruned published events"),
            // Whether the database can be reached is told by the relay itself.
            Err(error) => {
                tracing::warn!(%error, "published events could not be pruned: trying again later");
            }
        }
    }
}

/// Deletes all that is old enough, unless another relay is at it. Returns how many events that were.
async fn prune(
    config: &Config,
    retention: Duration,
    stop: &CancellationToken,
) -> Result<u64, DatabaseError> {
    let session = Session::connect(config.database.url()).await?;
    let statements =
        PruneStatements::prepare(session.client(), &config.outbox.outbox_table).await?;
    if !queries::lock_pruning(&session, &statements).await? {
        return Ok(0);
    }
    let (mut pruned, mut above) = (0, 0);
    loop {
        let slice = queries::prune(&session, &statements, above, SLICE, retention).await?;
        pruned += slice.deleted;
        measure::pruned(slice.deleted);
        above = slice.highest;
        // Events are published about in the order of their ids: behind one that is too young most are.
        let is_done = slice.looked_at < SLICE || (slice.young > 0 && slice.deleted == 0);
        if is_done || pause(PAUSE, stop).await {
            return Ok(pruned);
        }
    }
}

/// Waits; says whether it is time to stop.
async fn pause(duration: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(duration) => false,
    }
}
