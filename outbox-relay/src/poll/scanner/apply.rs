//! The rows that a scan has read go into the queue.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Scanner;
use crate::database::queries::{DueCursor, DueEvents, DuePages, DuePosition, ScannedRows, Writers};
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
            (Scan::Successors { keys, .. }, Rows::Successors(found)) => {
                for event_ref in &found.paused {
                    queue.hold_behind(event_ref);
                }
                queue.refill(keys, found.event_refs);
            }
            (Scan::Due { .. }, Rows::Due(due)) => self.apply_due(due, queue, now),
            (Scan::New { .. }, Rows::Scanned(writers, scanned)) => {
                self.outcome = self.apply_new(writers, scanned, lanes, queue, now);
            }
            (Scan::Suspects { suspects, .. }, Rows::Scanned(_, scanned)) => {
                self.verify(suspects, &scanned, lanes, queue, now);
            }
            (scan, rows) => unreachable!("{rows:?} are no answer to {scan:?}"),
        }
    }

    fn apply_due(
        &mut self,
        DueEvents { failed, scheduled }: DueEvents,
        queue: &mut Queue,
        now: Instant,
    ) {
        let page = usize::try_from(self.due_page).unwrap_or(usize::MAX);
        let has_more = [
            advance_due(&mut self.state.failed, &failed, page),
            advance_due(&mut self.state.scheduled, &scheduled, page),
        ];
        if has_more.contains(&true) {
            self.due_scan_at = now;
        }
        for event_ref in failed.event_refs {
            queue.push_retry(event_ref);
        }
        let mut scheduled = scheduled.event_refs;
        scheduled.sort_unstable_by_key(|event_ref| event_ref.id);
        for event_ref in scheduled {
            queue.push(event_ref);
        }
    }

    fn apply_new(
        &mut self,
        writers: Option<Writers>,
        scanned: ScannedRows,
        lanes: LaneSet,
        queue: &mut Queue,
        now: Instant,
    ) -> ScanOutcome {
        let is_replaced = self.state.filenode.is_some_and(|known| known != scanned.filenode);
        self.state.filenode = Some(scanned.filenode);
        if is_replaced {
            tracing::info!("the outbox was emptied or rewritten: scanning the whole table");
            // Emptied, perhaps, and its ids handed out anew. What is in flight ends as it ends.
            queue.retain_lanes(LaneSet::default());
            queue.lanes_taken(lanes);
            self.start_over(now);
            return ScanOutcome::Replaced;
        }
        if self.state.audited.is_some_and(|audited| audited != scanned.audited) {
            // An event that a person retried or discarded may have held back others.
            self.state.audited = Some(scanned.audited);
            // One that is paused may be gone.
            queue.forget_paused();
            self.start_over(now);
            return ScanOutcome::Something;
        }
        self.state.audited = Some(scanned.audited);
        self.advance(writers, &scanned);
        for event_ref in &scanned.paused {
            queue.hold_behind(event_ref);
        }
        let mut found = false;
        for event_ref in scanned.event_refs {
            found |= queue.push(event_ref);
        }
        let outcome = if found {
            self.interval.found_some(now);
            ScanOutcome::Something
        } else {
            self.interval.found_none(now);
            ScanOutcome::Nothing
        };
        if self.state.has_more {
            self.interval.skip_wait(now);
        }
        outcome
    }

    fn advance(&mut self, writers: Option<Writers>, scanned: &ScannedRows) {
        let state = &mut self.state;
        let known = state.cursor;
        state.has_more = scanned.rows >= self.slice;
        let reached = scanned.reached.unwrap_or(known);
        state.cursor = if state.has_more { reached } else { known.max(reached) };
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
        scanned: &ScannedRows,
        lanes: LaneSet,
        queue: &Queue,
        now: Instant,
    ) {
        // Rows that have appeared since the sweep are found by the next scan.
        let mut overlooked = scanned.event_refs.iter().filter(|event_ref| {
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

/// Moves the cursor behind the pages that were read. Returns whether there may be more that no scan
/// has read yet.
fn advance_due(cursor: &mut DueCursor, pages: &DuePages, page: usize) -> bool {
    if let Some(last) = &pages.unread.last {
        cursor.unread = last.clone();
    }
    cursor.again = match &pages.again.last {
        Some(last) if pages.again.rows >= page => last.clone(),
        _ => DuePosition::start(),
    };
    pages.unread.rows >= page
}
