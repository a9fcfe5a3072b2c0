//! A model of the outbox: rows, the transactions that write them, locks, and what the relay's
//! statements answer.

mod due;
mod locks;
mod scans;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::database::queries::{
    BlockingPolicy, DueEvents, NotSettled, OpenTransaction, ScannedRows, Successors, Writer,
    Writers,
};
use crate::lanes::{LaneSet, Member, lane};
use crate::pauses::{Pause, PauseSet};
use crate::poll::{Rows, Scan};
use crate::publish::event::Event;
use crate::publish::load::Loaded;
use crate::publish::refusals::RefusalHistory;
use crate::queue::{EventRef, Queue};
use crate::settle::batch::SettleItem;
use crate::settle::unsettled::{SettleError, UnsettledEvent};

/// `next_attempt_at` of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextAttempt {
    /// It has not failed.
    Null,
    /// It failed; without attempts it is scheduled.
    At(Instant),
    /// Stuck; without attempts it is parked.
    Infinity,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) key: i64,
    pub(super) event_type: &'static str,
    pub(super) event_id: Uuid,
    /// The transaction that wrote it, while that is open.
    writer: Option<u64>,
    pub(super) is_pending: bool,
    pub(super) next_attempt: NextAttempt,
    attempts: u32,
    last_error: String,
    /// The order is not promised for it: its id was chosen by hand, or a person has changed the
    /// row.
    pub(super) is_late: bool,
    /// It was stuck once.
    pub(super) was_stuck: bool,
    /// It was written for later.
    pub(super) was_scheduled: bool,
}

impl Row {
    pub(super) const fn is_committed(&self) -> bool {
        self.writer.is_none()
    }

    /// Whether it was written for later, and was not tried yet.
    pub(super) fn is_scheduled(&self) -> bool {
        self.attempts == 0 && self.next_attempt != NextAttempt::Null
    }

    /// Whether it was written for a time that has come.
    pub(super) fn is_scheduled_and_due(&self, now: Instant) -> bool {
        self.is_scheduled() && matches!(self.next_attempt, NextAttempt::At(at) if at <= now)
    }

    /// Whether a scan in the order of the ids returns it.
    fn is_new(&self, now: Instant) -> bool {
        self.next_attempt == NextAttempt::Null || self.is_scheduled_and_due(now)
    }

    pub(super) const fn is_visible_and_pending(&self) -> bool {
        self.is_committed() && self.is_pending
    }
}

/// Of a transaction that writes no event.
const NO_KEY: i64 = i64::MIN;

/// A transaction that writes events of one aggregate, whose row it has locked.
#[derive(Debug)]
struct Transaction {
    key: i64,
    xid: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Table {
    /// Before all times.
    epoch: Instant,
    pub(super) rows: BTreeMap<i64, Row>,
    sequence: i64,
    filenode: i64,
    pub(super) audit: i64,
    open: BTreeMap<u64, Transaction>,
    next_transaction: u64,
    /// Rows that another session has locked.
    locked: HashSet<i64>,
    /// The table `outbox_unsettled`: ids by `event_id`.
    noted: BTreeMap<Uuid, i64>,
    /// Which session owns each lane.
    lanes: BTreeMap<u8, i32>,
    /// The table `outbox_pauses`.
    pub(super) pauses: Vec<Pause>,
    /// The sessions of relays at work.
    members: BTreeSet<i32>,
}

/// What services and people do.
impl Table {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            rows: BTreeMap::new(),
            sequence: 0,
            filenode: 0,
            audit: 0,
            open: BTreeMap::new(),
            next_transaction: 0,
            locked: HashSet::new(),
            noted: BTreeMap::new(),
            lanes: BTreeMap::new(),
            pauses: Vec::new(),
            members: BTreeSet::new(),
        }
    }

    fn row(&mut self, key: i64, writer: Option<u64>, is_late: bool) -> Row {
        Row {
            key,
            event_type: "created",
            event_id: Uuid::from_u128(rand_id(self)),
            writer,
            is_pending: true,
            next_attempt: NextAttempt::Null,
            attempts: 0,
            last_error: String::new(),
            is_late,
            was_stuck: false,
            was_scheduled: false,
        }
    }

    /// Begins a transaction that has locked the aggregate and the table, and has no id yet. None if
    /// the aggregate is locked.
    pub(super) fn begin(&mut self, key: i64) -> Option<u64> {
        if self.open.values().any(|transaction| transaction.key == key) {
            return None;
        }
        self.next_transaction += 1;
        self.open.insert(self.next_transaction, Transaction { key, xid: None });
        Some(self.next_transaction)
    }

    /// Begins a relay's transaction, which writes no event.
    pub(super) fn begin_settling(&mut self) -> u64 {
        self.next_transaction += 1;
        self.open.insert(self.next_transaction, Transaction { key: NO_KEY, xid: None });
        self.next_transaction
    }

    /// The transactions that write events.
    pub(super) fn open(&self) -> Vec<u64> {
        self.open.iter().filter(|(_, open)| open.key != NO_KEY).map(|(id, _)| *id).collect()
    }

    pub(super) fn insert(&mut self, transaction: u64, rows: usize) {
        self.insert_for(transaction, rows, NextAttempt::Null);
    }

    /// Inserts rows with a `next_attempt_at`.
    pub(super) fn insert_for(&mut self, transaction: u64, rows: usize, next_attempt: NextAttempt) {
        for _ in 0..rows {
            self.sequence += 1;
            let Some(open) = self.open.get_mut(&transaction) else {
                return;
            };
            open.xid = Some(i64::try_from(transaction).unwrap_or(i64::MAX));
            let key = open.key;
            // Every third one, so that each aggregate has some of both types.
            let event_type = if self.sequence % 3 == 0 { "shipped" } else { "created" };
            let was_scheduled = next_attempt != NextAttempt::Null;
            let row = self.row(key, Some(transaction), false);
            let row = Row { next_attempt, event_type, was_scheduled, ..row };
            self.rows.insert(self.sequence, row);
        }
    }

    pub(super) fn end(&mut self, transaction: u64, commit: bool) {
        self.open.remove(&transaction);
        self.rows.retain(|_, row| commit || row.writer != Some(transaction));
        for row in self.rows.values_mut().filter(|row| row.writer == Some(transaction)) {
            row.writer = None;
        }
    }

    /// A row whose id was chosen by hand, far below the others.
    pub(super) fn insert_late(&mut self, id: i64, key: i64) {
        if !self.rows.contains_key(&id) {
            let row = self.row(key, None, true);
            self.rows.insert(id, row);
        }
    }

    pub(super) fn lock(&mut self, id: i64) {
        self.locked.insert(id);
    }

    pub(super) fn unlock_all(&mut self) {
        self.locked.clear();
    }

    /// A person makes the row due again.
    pub(super) fn retry(&mut self, id: i64, now: Instant) {
        if let Some(row) = self.rows.get_mut(&id)
            && row.is_visible_and_pending()
            && row.next_attempt != NextAttempt::Null
            && !self.locked.contains(&id)
        {
            row.next_attempt = NextAttempt::At(now);
            self.audit += 1;
        }
    }

    /// A person deletes a pending row.
    pub(super) fn discard(&mut self, id: i64) {
        let is_pending = self.rows.get(&id).is_some_and(Row::is_visible_and_pending);
        if is_pending && !self.locked.contains(&id) {
            self.rows.remove(&id);
            self.audit += 1;
        }
    }

    /// A person pauses events.
    pub(super) fn pause(&mut self, pause: Pause) {
        self.pauses.push(pause);
        self.audit += 1;
    }

    /// A person ends all pauses, or they end by themselves.
    pub(super) fn resume(&mut self, is_audited: bool) {
        self.pauses.clear();
        self.audit += i64::from(is_audited);
    }

    /// `TRUNCATE … RESTART IDENTITY`; it waits for open transactions.
    pub(super) fn truncate(&mut self) -> bool {
        let is_free = self.open.is_empty() && self.locked.is_empty();
        if is_free {
            self.rows.clear();
            self.noted.clear();
            self.sequence = 0;
            self.filenode += 1;
        }
        is_free
    }

    /// `VACUUM FULL`: the same rows in another file. It waits for open transactions.
    pub(super) fn rewrite(&mut self) {
        if self.open.is_empty() {
            self.filenode += 1;
        }
    }

    /// Published rows are deleted.
    pub(super) fn prune(&mut self) {
        self.rows.retain(|_, row| row.is_pending);
    }
}

/// Event ids are never used again, whatever becomes of the row ids.
fn rand_id(table: &mut Table) -> u128 {
    table.next_transaction += 1;
    u128::from(table.next_transaction)
}

/// The row's event as it is loaded.
fn event(event_ref: EventRef, row: &Row) -> Event {
    let contents = Event::unreadable(event_ref, row.event_id, row.attempts, String::new());
    Event {
        event_ref: EventRef { size: 1, ..event_ref },
        aggregate_type: "order".to_owned(),
        aggregate_id: row.key.to_string(),
        event_type: row.event_type.to_owned(),
        refusals: RefusalHistory::read(&row.last_error),
        unfit: None,
        ..contents
    }
}

const fn event_ref(id: i64, row: &Row) -> EventRef {
    EventRef { id, key: row.key, size: 1 }
}
