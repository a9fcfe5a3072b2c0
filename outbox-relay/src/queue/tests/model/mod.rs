//! A model of a table, a relay that works on it with a [`Queue`], other relays and people.
//!
//! | file | what is in it |
//! |---|---|
//! | `step` | what may happen |
//! | `table` | the rows, and what the database answers |
//! | `scan`, `dispatch`, `outcomes`, `lanes` | what the relay does, and what must hold then |

mod dispatch;
mod lanes;
mod outcomes;
mod scan;
mod step;
mod table;

use std::collections::{BTreeMap, HashSet};

use proptest::sample::Index;

use crate::lanes::{LaneSet, lane};
use crate::queue::aggregate_queue::CAPACITY;
use crate::queue::{EventRef, FULL, Queue};
pub(super) use step::{Fate, Step};
use table::Row;

/// The aggregates: two in the first lane, one in each of three others.
pub(super) const KEYS: [i64; 5] = [0, 64, 1, 2, 3];

#[derive(Debug)]
pub(super) struct Model {
    ordered: bool,
    stuck_holds: bool,
    queue: Queue,
    /// The rows of each aggregate.
    table: BTreeMap<i64, BTreeMap<i64, Row>>,
    last_id: i64,
    open: Vec<(i64, i64)>,
    /// Rows that were committed after one with a higher id of their aggregate: the order is not
    /// promised for them.
    late: HashSet<i64>,
    /// Rows that were stuck once: where those behind go on, the order is not promised for them.
    skipped: HashSet<i64>,
    in_flight: Vec<EventRef>,
    /// Events of one aggregate that are sent in a run.
    run: Vec<EventRef>,
    unsettled: Vec<(EventRef, Fate)>,
    /// Events whose rows can't be changed, with what became of them.
    blocked: Vec<(EventRef, Fate)>,
    cursor: i64,
    owned: u64,
    offered: u64,
    catching_up: bool,
}

impl Model {
    pub(super) fn new(ordered: bool, stuck_holds: bool) -> Self {
        Self {
            ordered,
            stuck_holds,
            queue: Queue::new(ordered),
            table: KEYS.iter().map(|&key| (key, BTreeMap::new())).collect(),
            last_id: 0,
            open: Vec::new(),
            late: HashSet::new(),
            skipped: HashSet::new(),
            in_flight: Vec::new(),
            run: Vec::new(),
            unsettled: Vec::new(),
            blocked: Vec::new(),
            cursor: 0,
            owned: u64::MAX,
            offered: 0,
            catching_up: false,
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        match *step {
            Step::Add { key, rows } => {
                for _ in 0..rows {
                    self.last_id += 1;
                    let id = self.last_id;
                    self.rows(key).insert(id, Row::New);
                }
            }
            Step::Schedule { key, rows } => {
                for _ in 0..rows {
                    self.last_id += 1;
                    let id = self.last_id;
                    self.rows(key).insert(id, Row::Scheduled);
                }
            }
            Step::Begin { key } => {
                self.last_id += 1;
                self.open.push((self.last_id, key));
            }
            Step::Commit(index) => {
                if let Some((id, key)) = take_one(&mut self.open, index) {
                    self.commit(id, key);
                }
            }
            Step::ScanNew { rows } => self.scan_new(rows),
            Step::ScanDueRetries { rows } => self.scan_due_retries(rows),
            Step::ScanSuccessors { aggregates } => self.scan_successors(aggregates),
            Step::Take { count, bytes } => self.take(count, bytes),
            Step::TakeRun { behind } => self.take_run(behind),
            Step::EndRun { sent, last } => self.end_run(sent, last),
            Step::Publish { first, count } => {
                for _ in 0..count {
                    self.end_one(first, Fate::Published);
                }
            }
            Step::Fail(index) => self.end_one(index, Fate::Failed),
            Step::GiveUp(index) => self.end_one(index, Fate::Stuck),
            Step::LoseConfirm(index) => self.end_one(index, Fate::Unknown),
            Step::Settle { count } => self.settle(count),
            Step::SettleBlocked(index) => self.settle_blocked(index),
            Step::Unblock { count } => self.unblock(count),
            Step::BecomeDue => {
                for row in self.table.values_mut().flat_map(BTreeMap::values_mut) {
                    match *row {
                        Row::Waits => *row = Row::Due,
                        Row::Scheduled => *row = Row::ScheduledDue,
                        _ => (),
                    }
                }
            }
            Step::Retry(index) => {
                if let Some((key, id)) = self.pick(index, |row| row.is_pending() && row != Row::New)
                {
                    let is_scheduled = self.table[&key][&id].is_scheduled();
                    let due = if is_scheduled { Row::ScheduledDue } else { Row::Due };
                    self.rows(key).insert(id, due);
                    self.cursor = 0;
                }
            }
            Step::Discard(index) => {
                if let Some((key, id)) = self.pick(index, Row::is_pending) {
                    self.rows(key).remove(&id);
                    self.cursor = 0;
                }
            }
            Step::Unpublish(index) => self.unpublish(index),
            Step::Prune(index) => self.prune(index),
            Step::Sweep => self.sweep(),
            Step::Rebalance { lanes } => self.rebalance(lanes),
            Step::LoseSession { lanes } => {
                self.owned = 0;
                self.offered = 0;
                self.queue.retain_lanes(LaneSet::default());
                self.catching_up = true;
                self.rebalance(lanes);
                self.cursor = 0;
            }
            Step::OtherRelay { key, rows } => {
                if self.owned & 1 << lane(key) == 0 {
                    let pending = self.rows(key).values_mut().filter(|row| row.is_pending());
                    for row in pending.take(rows) {
                        *row = Row::Published;
                    }
                }
            }
        }
        self.check();
    }

    /// Lets the servers work, and everything become due, until nothing is left but what is stuck.
    pub(super) fn drain(&mut self) {
        for (id, key) in std::mem::take(&mut self.open) {
            self.commit(id, key);
        }
        self.rebalance(u64::MAX);
        let mut rounds = 0;
        while rounds < 3 || !self.queue.is_empty() || self.finds_more() {
            self.step(&Step::Settle { count: usize::MAX });
            self.step(&Step::Unblock { count: usize::MAX });
            self.rebalance(u64::MAX);
            self.step(&Step::BecomeDue);
            self.step(&Step::ScanSuccessors { aggregates: 64 });
            self.step(&Step::ScanDueRetries { rows: 1000 });
            self.step(&Step::ScanNew { rows: 2000 });
            self.step(&Step::Sweep);
            self.step(&Step::Take { count: 500, bytes: i64::MAX });
            self.end_run_after(self.run.len(), Fate::Published);
            for event_ref in std::mem::take(&mut self.in_flight) {
                self.end(event_ref, Fate::Published);
            }
            self.check();
            rounds += 1;
            assert!(rounds < 10_000, "it never ends: {:?}", self.queue);
        }
        assert_eq!(self.queue.busy_lanes(), LaneSet::default());
        for (key, rows) in &self.table {
            let mut held = false;
            for (id, row) in rows {
                held |= *row == Row::Stuck && self.ordered && self.stuck_holds;
                assert!(
                    held || matches!(row, Row::Stuck | Row::Published),
                    "{id} of {key} is forgotten: {row:?}"
                );
            }
        }
    }

    fn check(&self) {
        let sent = self.in_flight.iter().chain(&self.run);
        let of_ours = sent.chain(self.unsettled.iter().map(|(event_ref, _)| event_ref));
        let busy = of_ours.fold(0, |set, event_ref| set | 1_u64 << lane(event_ref.key));
        assert_eq!(self.queue.busy_lanes(), LaneSet(busy));
        assert!(self.queue.tracked.len() <= FULL + 64 * CAPACITY);
        for aggregate in self.queue.aggregates.values() {
            assert!(aggregate.waiting() <= 2 * CAPACITY, "{} are tracked", aggregate.waiting());
        }
    }
}

fn take_one<T>(all: &mut Vec<T>, index: Index) -> Option<T> {
    (!all.is_empty()).then(|| all.swap_remove(index.index(all.len())))
}
