//! Deletes events whose retention time has passed: one relay at a time, in small batches, on a
//! session of its own, so that the relaying is never delayed. A row that can't be deleted stays,
//! and is reported.

use std::time::{Duration, Instant};

use service_kit::prune::{PrunePasses, pass_interval, pause};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::{Config, Retention};
use crate::database::queries;
use crate::database::{DatabaseError, PruneSession};
use crate::metrics;

/// Rows that a statement reads.
const SLICE: i64 = 1000;

/// The least pause between two statements.
const PAUSE: Duration = Duration::from_millis(20);

/// After so many rows that the database refuses to delete a pass ends: single rows are not to
/// blame.
const MAX_REFUSED: i64 = 1000;

/// Prunes periodically until `stop`, if events are to be deleted some time after they were
/// published.
pub(crate) async fn run(config: &Config, stop: CancellationToken) {
    let Retention::For(retention) = config.retention.outbox_retention else {
        return;
    };
    let interval = pass_interval(retention, Duration::from_mins(1));
    // Events are published about in the order of their ids, so that a pass ends where all are
    // young. What is old behind those, an event that was held back for long, say, is found by a
    // pass through the whole table.
    let whole_interval = pass_interval(retention, Duration::from_hours(1));
    let mut whole = Instant::now();
    let mut refused = 0;
    let passes = PrunePasses { rows: "published events", interval, stop: &stop };
    while passes.is_due().await {
        let is_whole = Instant::now() >= whole;
        let pass = match Box::pin(Pass::run(config, retention, is_whole, &stop)).await {
            Ok(Some(pass)) => pass,
            Ok(None) => continue,
            Err(error) => {
                passes.report(Err(error));
                continue;
            }
        };
        if is_whole {
            whole = Instant::now() + whole_interval;
        }
        if pass.refused != refused {
            pass.log_refused();
            refused = pass.refused;
        }
        passes.report(Ok::<_, DatabaseError>(pass.deleted.unsigned_abs()));
    }
}

/// One pass through the table, or as far as there are old events.
#[derive(Debug, Default)]
struct Pass {
    deleted: i64,
    /// Old enough, and locked by another session or kept by a trigger.
    kept: i64,
    /// Old enough, and the database refuses to delete it.
    refused: i64,
    /// One of these, with the reason.
    example: Option<(Uuid, String)>,
}

impl Pass {
    /// Deletes all that is old enough. Returns `None` if another relay does so.
    async fn run(
        config: &Config,
        retention: Duration,
        is_whole: bool,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, DatabaseError> {
        let (url, table) = (config.database.url(), &config.outbox.outbox_table);
        let session = PruneSession::connect(url, table).await?;
        if !queries::lock_pruning(&session).await? {
            return Ok(None);
        }
        let mut pass = Self::default();
        let (mut above, mut rows) = (i64::MIN, SLICE);
        loop {
            let slice = match queries::prune(&session, above, rows, retention).await {
                Ok(slice) => slice,
                Err(error) if error.is_over_a_row() && rows > 1 => {
                    rows = rows.div_euclid(2);
                    continue;
                }
                Err(error) if error.is_over_a_row() => {
                    above = pass.refuse(&session, above, &error).await?;
                    if pass.refused >= MAX_REFUSED || pause(PAUSE, stop).await {
                        break;
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            pass.deleted += slice.deleted;
            pass.kept += slice.old - slice.deleted;
            metrics::pruned(slice.deleted);
            let is_last = slice.looked_at < rows;
            let is_young = rows == SLICE && slice.old == 0 && slice.looked_at > 0;
            if is_last || (is_young && !is_whole) || pause(PAUSE, stop).await {
                break;
            }
            above = slice.highest;
            rows = (rows * 2).min(SLICE);
        }
        queries::forget_expired(&session).await?;
        metrics::unprunable(pass.kept + pass.refused);
        Ok(Some(pass))
    }

    /// Notes that the first row above an id can't be deleted. Returns its id.
    async fn refuse(
        &mut self,
        session: &PruneSession,
        above: i64,
        error: &DatabaseError,
    ) -> Result<i64, DatabaseError> {
        let Some((id, event_id)) = queries::next_row(session, above).await? else {
            return Ok(above);
        };
        self.refused += 1;
        let reason = error.to_string();
        queries::note_expired(session, id, event_id, &reason).await?;
        self.example.get_or_insert((event_id, reason));
        Ok(id)
    }

    /// Logs how many rows could not be deleted, and why one of them.
    fn log_refused(&self) {
        if let Some((event_id, reason)) = &self.example {
            tracing::warn!(
                events = self.refused,
                %event_id,
                reason,
                "expired events can't be deleted, and are left where they are"
            );
        }
    }
}
