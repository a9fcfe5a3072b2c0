//! Reads pending events from the outbox into the queue.
//!
//! | file | what is in it |
//! |---|---|
//! | [`scanner`], [`scan`] | which rows to read next |
//! | [`watermark`] | the id below which no new row can appear |
//! | [`interval`] | how often to scan for new events |

mod interval;
mod scan;
mod scanner;
mod watermark;

use std::time::Instant;

use crate::database::queries::{self, BlockingPolicy};
use crate::database::{Database, DatabaseError};
use crate::lanes::LaneSet;
use crate::metrics;
use crate::pauses::PauseSet;
use crate::queue::Queue;
pub(crate) use scan::{Rows, Scan, ScanOutcome};
pub(crate) use scanner::Scanner;

/// Runs every scan that is due, and queues the events that it finds.
///
/// # Errors
/// When the table can't be read; [`Scanner::forget`] has to follow.
pub(crate) async fn poll(
    scanner: &mut Scanner,
    queue: &mut Queue,
    lanes: LaneSet,
    policy: BlockingPolicy,
    pauses: &PauseSet,
    database: &Database,
) -> Result<ScanOutcome, DatabaseError> {
    while let Some(scan) = scanner.next_scan(queue, Instant::now()) {
        let rows = read(&scan, database, policy, pauses, lanes).await?;
        metrics::rows_read(match &rows {
            Rows::Successors(found) => found.event_refs.len() + found.paused.len(),
            Rows::Due(due) => due.rows(),
            Rows::Scanned(_, scanned) => usize::try_from(scanned.rows).unwrap_or(usize::MAX),
        });
        scanner.apply(&scan, rows, lanes, queue, Instant::now());
    }
    Ok(scanner.outcome())
}

async fn read(
    scan: &Scan,
    database: &Database,
    policy: BlockingPolicy,
    pauses: &PauseSet,
    lanes: LaneSet,
) -> Result<Rows, DatabaseError> {
    Ok(match scan {
        Scan::Successors { keys, ids } => {
            let most = i64::try_from(Queue::REFILL).unwrap_or(i64::MAX);
            let stuck_holds = policy.stuck_holds;
            Rows::Successors(
                queries::scan_successors(database, keys, ids, most, stuck_holds, pauses).await?,
            )
        }
        Scan::Due { failed, scheduled, scheduled_up_to, rows } => {
            let cursors = [failed, scheduled];
            let up_to = *scheduled_up_to;
            Rows::Due(
                queries::scan_due(database, lanes, *rows, policy, cursors, up_to, pauses).await?,
            )
        }
        Scan::New { above, open, lists_writers, rows } => {
            let scanning = queries::scan_new(database, *above, open, lanes, *rows, policy, pauses);
            if *lists_writers {
                // Sent one after the other and answered in one go: the transactions are listed
                // before the scan begins.
                let (writers, scanned) = tokio::join!(queries::list_writers(database), scanning);
                Rows::Scanned(Some(writers?), scanned?)
            } else {
                Rows::Scanned(None, scanning.await?)
            }
        }
        Scan::Suspects { above, rows, .. } => {
            let scanned = queries::scan_new(database, *above, &[], lanes, *rows, policy, pauses);
            Rows::Scanned(None, scanned.await?)
        }
    })
}
