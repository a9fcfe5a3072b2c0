//! Decides which rows of the outbox to read next, and puts the events among them into the queue.
//!
//! A scan for new events goes from lower ids to higher ones and begins where the last one ended, or
//! a little below, where a row may have appeared late ([`Watermark`]). So an event is found after
//! all those of its aggregate that were committed before it. Failed events are found by their time,
//! and the successors of a queued event by its aggregate. A scheduled event that is due is found in
//! the order of the ids where a scan has yet to come, and by its time below that.
//!
//! Events are read by their time from earlier to later ones, each once when it becomes due, and
//! then, a page at a time, again while it is due: one that may not be sent (it is paused, say) is in
//! no other's way, and is not forgotten.
//!
//! All this is an optimisation that ends with the session. The guarantee is a scan of the whole
//! table: at the start, when a lane is taken, when a person has changed something, and again and
//! again beside the loop (`inspector/sweep`).

mod apply;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::interval::PollInterval;
use super::scan::{Scan, ScanOutcome};
use super::watermark::Watermark;
use crate::config::RelayArgs;
use crate::database::queries::DueCursor;
use crate::lanes::{LaneSet, lane};
use crate::queue::{EventRef, Queue};

/// Rows that one scan reads.
const SLICE: i64 = 2000;

/// Least time between two lists of open transactions.
const LIST_EVERY: Duration = Duration::from_millis(50);

/// How often to scan for failed and scheduled events that are due.
const DUE_EVERY: Duration = Duration::from_millis(500);

/// Due events of one page.
const DUE_PAGE: i64 = 1000;

/// Aggregates of which successors are read at a time.
const AGGREGATES: usize = 64;

/// The scan that is due next in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Successors,
    Due,
    New,
    Suspects,
    End,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Scanner {
    /// While so many events in the queue may be sent, no new ones are scanned for.
    max_ready: usize,
    /// The most rows that one scan reads.
    slice: i64,
    /// The most rows that a page of due events has.
    due_page: i64,
    interval: PollInterval,
    state: ScanState,
    step: Step,
    /// What the round has come to so far.
    outcome: ScanOutcome,
    /// Whether the scan for due events was part of the round.
    scanned_due: bool,
    writers_listed_at: Instant,
    due_scan_at: Instant,
    /// Ids of events that the sweep has found and that are not queued.
    suspects: BTreeSet<i64>,
    reported_at: Option<Instant>,
}

/// What is known of the table; it ends with the session.
#[derive(Debug)]
struct ScanState {
    watermark: Watermark,
    /// Everything up to this id has been read.
    cursor: i64,
    /// How far events that failed and are due again have been read.
    failed: DueCursor,
    /// The same for scheduled ones.
    scheduled: DueCursor,
    /// The last scan for new events ended before the table did.
    has_more: bool,
    /// The latest row of the audit table, once it is known.
    audited: Option<Option<i64>>,
    /// The file that the table is stored in, once it is known.
    filenode: Option<Option<i64>>,
}

impl Default for ScanState {
    /// Below any id.
    fn default() -> Self {
        let watermark = Watermark::default();
        Self {
            watermark,
            cursor: i64::MIN,
            failed: DueCursor::default(),
            scheduled: DueCursor::default(),
            has_more: false,
            audited: None,
            filenode: None,
        }
    }
}

impl Scanner {
    pub(crate) fn new(args: &RelayArgs, now: Instant) -> Self {
        Self {
            max_ready: 2 * usize::try_from(args.relay_window).unwrap_or(usize::MAX / 2),
            slice: SLICE,
            due_page: DUE_PAGE,
            interval: PollInterval::new(args.relay_poll_min, args.relay_poll_max, now),
            state: ScanState::default(),
            step: Step::Successors,
            outcome: ScanOutcome::Something,
            scanned_due: false,
            writers_listed_at: now,
            due_scan_at: now,
            suspects: BTreeSet::new(),
            reported_at: None,
        }
    }

    /// With smaller slices, so that a test needs fewer rows.
    #[cfg(test)]
    pub(crate) fn set_slice(&mut self, rows: i64) {
        self.slice = rows;
        self.due_page = rows;
    }

    /// Begins at the start of the table with the next scan.
    pub(crate) fn start_over(&mut self, now: Instant) {
        // What people did before is seen on the way; what they do from now on starts the scan over
        // again.
        let ScanState { audited, filenode, .. } = self.state;
        self.state = ScanState { audited, filenode, ..ScanState::default() };
        self.interval.reset(now);
        self.suspects.clear();
    }

    /// Forgets what was known in a session that is gone, or in a round that was broken off.
    pub(crate) fn forget(&mut self, now: Instant) {
        self.state = ScanState::default();
        self.step = Step::Successors;
        self.start_over(now);
    }

    /// The server gave up a scan: the next round begins with those for new events.
    pub(crate) fn scan_failed(&mut self, now: Instant) {
        self.due_scan_at = now + DUE_EVERY;
    }

    /// Whether the next scan begins at the start of the table.
    pub(crate) const fn is_at_start(&self) -> bool {
        self.state.cursor == i64::MIN
    }

    /// Whether the last scan has reached the end of the table.
    pub(crate) const fn is_at_end(&self) -> bool {
        !self.is_at_start() && !self.state.has_more
    }

    /// The id up to which all events have been read, but for those of open transactions.
    pub(crate) fn low_watermark(&self) -> i64 {
        self.state.cursor.min(self.state.watermark.low())
    }

    /// Remembers those of the events found by the sweep that may have been overlooked. They may
    /// also have been published since, or be found by the next scan anyway: [`Scan::Suspects`]
    /// checks that.
    pub(crate) fn add_suspects(&mut self, event_refs: &[EventRef], lanes: LaneSet, queue: &Queue) {
        if self.suspects.is_empty() {
            let suspects =
                event_refs.iter().filter(|event_ref| self.is_overlooked(event_ref, lanes, queue));
            self.suspects = suspects.map(|event_ref| event_ref.id).collect();
        }
    }

    fn is_overlooked(&self, event_ref: &EventRef, lanes: LaneSet, queue: &Queue) -> bool {
        event_ref.id <= self.low_watermark()
            && lanes.has(lane(event_ref.key))
            && !queue.tracks(event_ref)
    }

    fn has_room(&self, queue: &Queue) -> bool {
        queue.ready() < self.max_ready && !queue.is_full() && !queue.holds_too_many()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.interval.is_due(now) || !self.suspects.is_empty()
    }

    /// When a scan is due again.
    pub(crate) fn due_at(&self, queue: &Queue, now: Instant) -> Instant {
        if !self.has_room(queue) {
            return self.due_scan_at;
        }
        if self.is_due(now) { now } else { self.due_scan_at.min(self.interval.next()) }
    }

    /// The next scan of the round; `None` at its end. The rows go to [`apply`](Self::apply); where
    /// they can't be read, [`forget`](Self::forget) has to follow.
    pub(crate) fn next_scan(&mut self, queue: &mut Queue, now: Instant) -> Option<Scan> {
        loop {
            match self.step {
                Step::Successors => {
                    self.step = Step::Due;
                    self.outcome = ScanOutcome::Something;
                    let (keys, ids) = queue.underfilled(AGGREGATES);
                    if !keys.is_empty() {
                        return Some(Scan::Successors { keys, ids });
                    }
                }
                Step::Due => {
                    self.step = Step::New;
                    self.scanned_due = self.due_scan_at <= now;
                    if self.scanned_due {
                        self.due_scan_at = now + DUE_EVERY;
                        if !queue.is_overfull() {
                            return Some(self.due_events());
                        }
                    }
                }
                Step::New if !self.has_room(queue) || !self.scanned_due && !self.is_due(now) => {
                    self.step = Step::End;
                }
                Step::New => {
                    self.step = Step::Suspects;
                    return Some(self.new_events(now));
                }
                Step::Suspects => {
                    self.step = Step::End;
                    let suspects = std::mem::take(&mut self.suspects);
                    if let Some(first) = suspects.first() {
                        return Some(Scan::Suspects {
                            above: first.saturating_sub(1),
                            suspects,
                            rows: self.slice,
                        });
                    }
                }
                Step::End => {
                    self.step = Step::Successors;
                    return None;
                }
            }
        }
    }

    fn due_events(&self) -> Scan {
        let ScanState { failed, scheduled, cursor, .. } = &self.state;
        Scan::Due {
            failed: failed.clone(),
            scheduled: scheduled.clone(),
            scheduled_up_to: *cursor,
            rows: self.due_page,
        }
    }

    fn new_events(&mut self, now: Instant) -> Scan {
        let state = &self.state;
        let may_list = state.has_more || now.duration_since(self.writers_listed_at) >= LIST_EVERY;
        // Before the first scan too: a transaction that is open now may be another relay's, which
        // notes that it has published an event that failed before. Those behind it, which the table
        // holds back until then, are found by a scan after its end.
        let is_first = state.cursor == i64::MIN;
        let lists_writers = is_first || may_list && state.watermark.is_behind(state.cursor);
        if lists_writers {
            self.writers_listed_at = now;
        }
        Scan::New {
            above: self.low_watermark(),
            open: state.watermark.open().to_vec(),
            lists_writers,
            rows: self.slice,
        }
    }

    /// What the round that has ended came to.
    pub(crate) const fn outcome(&self) -> ScanOutcome {
        match self.outcome {
            ScanOutcome::Nothing if !self.scanned_due || self.state.has_more => {
                ScanOutcome::Something
            }
            outcome => outcome,
        }
    }
}
