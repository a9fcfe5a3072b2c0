//! The rows that a scan has read go into the queue.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Scanner;
use crate::database::queries::{ScannedRows, Writers};
use crate::lanes::LaneSet;
use crate::poll::{Rows, Scan, ScanOutcome};
use crate::queue::Queue;

/// The shortest time between two log lines about overlooked events.
const REPORT_EVERY: Duration = Duration::from_secs(30);

impl Scanner {
    /// Puts the rows that `scan` has read into the queue, as far as they belong to `lanes`.
    pub(crate) fn apply(
        &mut self,
        scan: &Scan,
        rows: Rows,
        lanes: LaneSet,
        queue: &mut Queue,
        now: Instant,
    ) {
        match (scan, rows) {
            (Scan::Successors { keys, .. }, Rows::Events(event_refs)) => {
                queue.refill(keys, event_refs);
            }
            (Scan::DueRetries, Rows::Events(event_refs)) => {
                for event_ref in event_refs {
                    queue.push_retry(event_ref);
                }
            }
            (Scan::New { .. }, Rows::Slice(writers, seen)) => {
                self.outcome = self.apply_new(writers, seen, lanes, queue, now);
            }
            (Scan::Suspects { suspects, .. }, Rows::Slice(_, seen)) => {
                self.verify(suspects, &seen, lanes, queue, now);
            }
            (scan, rows) => unreachable!("{rows:?} are no answer to {scan:?}"),
        }
    }

    fn apply_new(
        &mut self,
        writers: Option<Writers>,
        seen: ScannedRows,
        lanes: LaneSet,
        queue: &mut Queue,
        now: Instant,
    ) -> ScanOutcome {
        let is_replaced = self.state.filenode.is_some_and(|known| known != seen.filenode);
        self.state.filenode = Some(seen.filenode);
        if is_replaced {
            tracing::info!("the outbox was emptied or rewritten: scanning the whole table");
            // Emptied, perhaps, and its ids handed out anew. What is in flight ends as it ends.
            queue.retain_lanes(LaneSet::default());
            queue.lanes_taken(lanes);
            self.start_over(now);
            return ScanOutcome::Replaced;
        }
        if self.state.audited.is_some_and(|audited| audited != seen.audited) {
            // An event that a person retried or discarded may have held back others.
            self.state.audited = Some(seen.audited);
            self.start_over(now);
            return ScanOutcome::Something;
        }
        self.state.audited = Some(seen.audited);
        self.advance(writers, &seen);
        let mut found = false;
        for event_ref in seen.event_refs {
            found |= queue.push(event_ref);
        }
        self.interval.scanned(found, self.state.more, now);
        if found { ScanOutcome::Something } else { ScanOutcome::Nothing }
    }

    fn advance(&mut self, writers: Option<Writers>, seen: &ScannedRows) {
        let state = &mut self.state;
        let known = state.cursor;
        state.more = seen.rows >= self.slice;
        let reached = seen.reached.unwrap_or(known);
        state.cursor = if state.more { reached } else { known.max(reached) };
        if let Some(mut writers) = writers {
            // Rows that were there before have ids that were drawn before, though they may be
            // deleted by now.
            writers.highest = writers.highest.max(known);
            // Nor any further than the scan: one id far above all that come next must not raise it
            // past them.
            state.watermark.advance(writers, state.cursor);
        }
    }

    /// Goes back to the lowest of the suspects that are still pending and not queued.
    fn verify(
        &mut self,
        suspects: &BTreeSet<i64>,
        seen: &ScannedRows,
        lanes: LaneSet,
        queue: &Queue,
        now: Instant,
    ) {
        // Rows that have appeared since the sweep are found by the next scan.
        let mut overlooked = seen.event_refs.iter().filter(|event_ref| {
            suspects.contains(&event_ref.id) && self.is_overlooked(event_ref, lanes, queue)
        });
        let Some(lowest) = overlooked.next() else {
            return;
        };
        let (events, below) = (1 + overlooked.count(), lowest.id.saturating_sub(1));
        let is_reported = |at: Instant| now.duration_since(at) < REPORT_EVERY;
        if !self.reported_at.is_some_and(is_reported) {
            self.reported_at = Some(now);
            tracing::info!(
                events,
                "found pending events below those that were read: scanning again from there"
            );
        }
        // The sweep has read what is below: scanning from the start of the table might take long.
        self.state.cursor = self.state.cursor.min(below);
        self.state.watermark.lower(below);
        self.interval.reset(now);
    }
}
