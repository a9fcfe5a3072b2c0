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
use crate::queue::Queue;
pub(crate) use scan::{Rows, Scan, ScanOutcome};
pub(crate) use scanner::Scanner;

/// Failed events that one scan reads.
const RETRIES: i64 = 1000;

/// Runs every scan that is due, and queues the events that it finds.
///
/// # Errors
/// When the table can't be read; [`Scanner::forget`] has to follow.
pub(crate) async fn poll(
    scanner: &mut Scanner,
    queue: &mut Queue,
    lanes: LaneSet,
    policy: BlockingPolicy,
    database: &Database,
) -> Result<ScanOutcome, DatabaseError> {
    while let Some(scan) = scanner.next_scan(queue, Instant::now()) {
        let rows = read(&scan, database, policy, lanes).await?;
        metrics::rows_read(match &rows {
            Rows::Events(event_refs) => event_refs.len(),
            Rows::Slice(_, seen) => usize::try_from(seen.rows).unwrap_or(usize::MAX),
        });
        scanner.apply(&scan, rows, lanes, queue, Instant::now());
    }
    Ok(scanner.outcome())
}

async fn read(
    scan: &Scan,
    database: &Database,
    policy: BlockingPolicy,
    lanes: LaneSet,
) -> Result<Rows, DatabaseError> {
    Ok(match scan {
        Scan::Successors { keys, ids } => {
            let most = i64::try_from(Queue::REFILL).unwrap_or(i64::MAX);
            let stuck_holds = policy.stuck_holds;
            Rows::Events(queries::scan_successors(database, keys, ids, most, stuck_holds).await?)
        }
        Scan::DueRetries => {
            Rows::Events(queries::scan_due_retries(database, lanes, RETRIES, policy).await?)
        }
        Scan::New { above, open, lists_writers, rows } => {
            let look = queries::scan_new(database, *above, open, lanes, *rows, policy);
            if *lists_writers {
                // Sent one after the other and answered in one go: the transactions are listed
                // before the scan begins.
                let (writers, seen) = tokio::join!(queries::list_writers(database), look);
                Rows::Slice(Some(writers?), seen?)
            } else {
                Rows::Slice(None, look.await?)
            }
        }
        Scan::Suspects { above, rows, .. } => {
            let seen = queries::scan_new(database, *above, &[], lanes, *rows, policy);
            Rows::Slice(None, seen.await?)
        }
    })
}
