//! Deletes audit rows whose retention time has passed: one relay at a time, in small batches, on a
//! session of its own.

use std::time::Duration;

use service_kit::prune::{PrunePasses, pass_interval, pause};
use tokio_util::sync::CancellationToken;

use crate::config::{AuditRetention, Config};
use crate::database::queries::{self, AuditSlice};
use crate::database::{AuditPruneSession, DatabaseError};

/// Rows that a statement reads. A copy of a discarded event may be large.
const SLICE: i64 = 200;

/// The least pause between two statements.
const PAUSE: Duration = Duration::from_millis(20);

/// Prunes periodically until `stop`, if audit rows are to be deleted at all.
pub(crate) async fn run(config: &Config, stop: CancellationToken) {
    let AuditRetention::For(retention) = config.audit_retention.outbox_audit_retention else {
        return;
    };
    let interval = pass_interval(retention, Duration::from_mins(10));
    let passes = PrunePasses { rows: "audit rows", interval, stop: &stop };
    while passes.is_due().await {
        passes.report(Box::pin(pass(config, retention, &stop)).await);
    }
}

/// Deletes all that is old enough, unless another relay does so. Returns how many rows.
///
/// Commands add audit rows one after the other, so that ids grow with time: the pass ends where all
/// rows are young.
async fn pass(
    config: &Config,
    retention: Duration,
    stop: &CancellationToken,
) -> Result<u64, DatabaseError> {
    let (url, table) = (config.database.url(), &config.outbox.outbox_table);
    let session = AuditPruneSession::connect(url, table).await?;
    let (mut deleted, mut above) = (0, i64::MIN);
    if !queries::lock_audit_pruning(&session).await? {
        return Ok(deleted);
    }
    loop {
        let slice = queries::prune_audit(&session, above, SLICE, retention).await?;
        let AuditSlice { looked_at, highest, .. } = slice;
        deleted += slice.deleted.unsigned_abs();
        if looked_at < SLICE || slice.deleted == 0 || pause(PAUSE, stop).await {
            return Ok(deleted);
        }
        above = highest;
    }
}
