//! A table, a relay that works on it with a [`Queue`], other relays, people, and an account of what may happen.

use std::collections::{BTreeMap, HashSet};

use proptest::sample::Index;

use super::super::*;
use crate::lanes::{LaneSet, lane};

/// The aggregates: two in the first lane, one in each of three others.
pub(super) const KEYS: [i64; 5] = [0, 64, 1, 2, 3];

/// What may happen.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Add {
        key: i64,
        rows: usize,
    },
    /// A transaction draws an id and is not committed yet.
    Begin {
        key: i64,
    },
    Commit(Index),
    LookAhead {
        rows: usize,
    },
    LookDue {
        rows: usize,
    },
    LookBehind {
        lines: usize,
    },
    Take {
        count: usize,
        bytes: i64,
    },
    /// Takes one event, and those behind it that go in a row.
    TakeRow {
        behind: usize,
    },
    /// So many events of the row were sent, and this became of the last one.
    EndRow {
        sent: Index,
        last: Fate,
    },
    Publish {
        first: Index,
        count: usize,
    },
    Fail(Index),
    /// It failed, and is stuck.
    GiveUp(Index),
    LoseConfirm(Index),
    Settle {
        count: usize,
    },
    BecomeDue,
    /// A person makes a failed event due.
    Retry(Index),
    /// A person deletes a pending event.
    Discard(Index),
    /// Other relays come and go.
    Share {
        lanes: u64,
    },
    /// The session ends, and a new one owns these lanes.
    LoseSession {
        lanes: u64,
    },
    /// Another relay publishes the first events of an aggregate of its own.
    OtherRelay {
        key: i64,
        rows: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    New,
    Waits,
    Due,
    Stuck,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Published,
    Failed,
    Stuck,
    Unknown,
}

#[derive(Debug)]
pub(super) struct World {
    ordered: bool,
    stuck_holds: bool,
    queue: Queue,
    /// The pending rows of each aggregate.
    table: BTreeMap<i64, BTreeMap<i64, Row>>,
    last_id: i64,
    open: Vec<(i64, i64)>,
    /// Rows that were committed after one with a higher id of their aggregate: the order is not promised for them.
    late: HashSet<i64>,
    /// Rows that were stuck once: where those behind go on, the order is not promised for them.
    skipped: HashSet<i64>,
    in_flight: Vec<Place>,
    /// Events of one aggregate that are sent in a row.
    row: Vec<Place>,
    unsettled: Vec<(Place, Fate)>,
    cursor: i64,
    owned: u64,
    leaving: u64,
    catching_up: bool,
}

impl World {
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
            row: Vec::new(),
            unsettled: Vec::new(),
            cursor: 0,
            owned: u64::MAX,
            leaving: 0,
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
            Step::Begin { key } => {
                self.last_id += 1;
                self.open.push((self.last_id, key));
            }
            Step::Commit(index) => {
                if let Some((id, key)) = take_one(&mut self.open, index) {
                    self.commit(id, key);
                }
            }
            Step::LookAhead { rows } => self.look_ahead(rows),
            Step::LookDue { rows } => self.look_due(rows),
            Step::LookBehind { lines } => self.look_behind(lines),
            Step::Take { count, bytes } => self.take(count, bytes),
            Step::TakeRow { behind } => self.take_row(behind),
            Step::EndRow { sent, last } => self.end_row(sent, last),
            Step::Publish { first, count } => {
                for _ in 0..count {
                    self.end_one(first, Fate::Published);
                }
            }
            Step::Fail(index) => self.end_one(index, Fate::Failed),
            Step::GiveUp(index) => self.end_one(index, Fate::Stuck),
            Step::LoseConfirm(index) => self.end_one(index, Fate::Unknown),
            Step::Settle { count } => self.settle(count),
            Step::BecomeDue => {
                for row in self.table.values_mut().flat_map(BTreeMap::values_mut) {
                    if *row == Row::Waits {
                        *row = Row::Due;
                    }
                }
            }
            Step::Retry(index) => {
                if let Some((key, id)) = self.pick(index, |row| row != Row::New) {
                    self.rows(key).insert(id, Row::Due);
                    self.cursor = 0;
                }
            }
            Step::Discard(index) => {
                if let Some((key, id)) = self.pick(index, |_| true) {
                    self.rows(key).remove(&id);
                    self.cursor = 0;
                }
            }
            Step::Share { lanes } => self.share(lanes),
            Step::LoseSession { lanes } => {
                self.owned = 0;
                self.leaving = 0;
                self.queue.keep(LaneSet::default());
                self.catching_up = true;
                self.share(lanes);
                self.cursor = 0;
            }
            Step::OtherRelay { key, rows } => {
                if self.owned & 1 << lane(key) == 0 {
                    for _ in 0..rows {
                        self.rows(key).pop_first();
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
        self.share(u64::MAX);
        let mut rounds = 0;
        while rounds < 3 || !self.queue.is_empty() || self.looks_further() {
            self.step(&Step::Settle { count: usize::MAX });
            self.share(u64::MAX);
            self.step(&Step::BecomeDue);
            self.step(&Step::LookBehind { lines: 64 });
            self.step(&Step::LookDue { rows: 1000 });
            self.step(&Step::LookAhead { rows: 2000 });
            self.step(&Step::Take { count: 500, bytes: i64::MAX });
            self.end_row_after(self.row.len(), Fate::Published);
            for place in std::mem::take(&mut self.in_flight) {
                self.end(place, Fate::Published);
            }
            self.check();
            rounds += 1;
            assert!(rounds < 10_000, "it never ends: {:?}", self.queue);
        }
        assert_eq!(self.queue.busy(), LaneSet::default());
        for (key, rows) in &self.table {
            let mut held = false;
            for (id, row) in rows {
                held |= *row == Row::Stuck && self.ordered && self.stuck_holds;
                // What the order is not promised for may take until the whole table is looked through.
                let found_later = self.late.contains(id);
                assert!(
                    held || *row == Row::Stuck || found_later,
                    "{id} of {key} is forgotten: {row:?}"
                );
            }
        }
    }

    fn looks_further(&self) -> bool {
        self.table.iter().any(|(key, rows)| {
            let held = self.held_behind(*key);
            rows.iter().any(|(id, row)| *id > self.cursor || *row == Row::Due && *id <= held)
        })
    }

    fn rows(&mut self, key: i64) -> &mut BTreeMap<i64, Row> {
        self.table.entry(key).or_default()
    }

    fn has(&self, key: i64) -> bool {
        LaneSet(self.owned & !self.leaving).has(lane(key))
    }

    fn pick(&self, index: Index, which: impl Fn(Row) -> bool) -> Option<(i64, i64)> {
        let all = self.table.iter().flat_map(|(key, rows)| {
            rows.iter().filter(|(_, row)| which(**row)).map(|(id, _)| (*key, *id))
        });
        let all: Vec<_> = all.collect();
        (!all.is_empty()).then(|| *index.get(&all))
    }

    fn commit(&mut self, id: i64, key: i64) {
        if self.last_id > id {
            // Whether or not there is one in the table now: it may be published already.
            self.late.insert(id);
        }
        self.rows(key).insert(id, Row::New);
        // What the horizon promises.
        self.cursor = self.cursor.min(id - 1);
    }

    /// The id behind which the table holds back the rows of an aggregate.
    fn held_behind(&self, key: i64) -> i64 {
        let holds = |row: Row| match row {
            Row::New => false,
            Row::Waits | Row::Due => true,
            Row::Stuck => self.stuck_holds,
        };
        let first = self.table[&key].iter().find(|(_, row)| self.ordered && holds(**row));
        first.map_or(i64::MAX, |(id, _)| *id)
    }

    fn may_look(&mut self) -> bool {
        self.catching_up &= !self.unsettled.is_empty();
        !self.catching_up
    }

    fn look_ahead(&mut self, rows: usize) {
        if !self.may_look() || self.queue.is_full() {
            return;
        }
        let above = self.table.iter().flat_map(|(key, rows)| {
            rows.range(self.cursor + 1..).map(|(id, row)| (*id, *key, *row))
        });
        let mut above: Vec<_> = above.collect();
        above.sort_unstable_by_key(|(id, ..)| *id);
        above.truncate(rows);
        self.cursor = above.last().map_or(self.cursor, |(id, ..)| *id);
        let held = KEYS.map(|key| (key, self.held_behind(key)));
        let held = BTreeMap::from(held);
        for (id, key, row) in above {
            if row == Row::New && self.has(key) && id < held[&key] {
                self.queue.see(sized(id, key));
            }
        }
    }

    fn look_due(&mut self, rows: usize) {
        if !self.may_look() {
            return;
        }
        let due = self.table.iter().flat_map(|(key, rows)| {
            let held = self.held_behind(*key);
            let due = rows.iter().filter(move |(id, row)| **row == Row::Due && **id <= held);
            due.map(|(id, _)| (*id, *key))
        });
        let due: Vec<_> = due.filter(|(_, key)| self.has(*key)).take(rows).collect();
        for (id, key) in due {
            self.queue.see_due(sized(id, key));
        }
    }

    fn look_behind(&mut self, lines: usize) {
        if !self.may_look() {
            return;
        }
        let (keys, ids) = self.queue.short_lines(lines);
        assert!(keys.len() <= lines);
        assert_eq!(keys.len(), keys.iter().collect::<HashSet<_>>().len());
        let mut found = Vec::new();
        for (&key, &id) in keys.iter().zip(&ids) {
            assert!(self.has(key), "it looks behind an aggregate that is another relay's");
            let end = self.held_behind(key);
            let rows = self.table[&key].range(id + 1..).filter(|(_, row)| **row == Row::New);
            let rows = rows.filter(|(id, _)| **id < end).take(Queue::LINE);
            found.extend(rows.map(|(id, _)| sized(*id, key)));
        }
        self.queue.lengthen(&keys, found);
    }

    fn take(&mut self, count: usize, bytes: i64) {
        if !self.may_look() {
            return;
        }
        let places = self.queue.take(count, bytes);
        assert!(places.len() <= count);
        let but_last = places.iter().rev().skip(1).map(|place| place.size).sum::<i64>();
        assert!(but_last < bytes);
        for place in places {
            self.taken(place);
        }
    }

    /// Says whether the event is still there.
    fn taken(&mut self, place: Place) -> bool {
        assert!(self.has(place.key), "{place:?} is another relay's");
        for other in self.in_flight.iter().chain(&self.row) {
            assert_ne!(other.id, place.id, "it is taken twice");
        }
        assert!(!self.unsettled.iter().any(|(other, _)| other.id == place.id), "it is taken twice");
        let alone = !self.in_flight.iter().chain(&self.row).any(|other| other.key == place.key);
        assert!(alone || !self.ordered, "{place:?} is not the only one of its aggregate");
        let Some(row) = self.table[&place.key].get(&place.id).copied() else {
            self.queue.gone(&place);
            return false;
        };
        let is_ready = matches!(row, Row::New | Row::Due);
        assert!(is_ready, "{place:?} is taken while it is {row:?}");
        self.check_order(&place);
        self.in_flight.push(place);
        true
    }

    fn take_row(&mut self, behind: usize) {
        if !self.may_look() || !self.row.is_empty() {
            return;
        }
        let Some(&first) = self.queue.take(1, 1).first() else {
            return;
        };
        if !self.taken(first) {
            return;
        }
        let mut wanted = behind;
        let follow = self.queue.follow(&first, |_| {
            wanted = wanted.saturating_sub(1);
            wanted > 0
        });
        if !follow.is_empty() {
            self.in_flight.pop();
            self.row.push(first);
            self.row.extend(follow);
        }
    }

    fn end_row(&mut self, sent: Index, last: Fate) {
        if !self.row.is_empty() {
            self.end_row_after(1 + sent.index(self.row.len()), last);
        }
    }

    fn end_row_after(&mut self, sent: usize, last: Fate) {
        let mut row = std::mem::take(&mut self.row);
        let unsent = row.split_off(sent);
        let Some(end) = row.pop() else {
            return;
        };
        if !unsent.is_empty() {
            self.queue.broke_off(&end, &unsent, self.has(end.key));
        }
        for place in row {
            self.check_order(&place);
            self.end(place, Fate::Published);
        }
        self.check_order(&end);
        self.end(end, last);
    }

    /// All that is ahead of `place` in the table is published, and only that is not noted yet.
    fn check_order(&self, place: &Place) {
        if !self.ordered || self.late.contains(&place.id) || self.skipped.contains(&place.id) {
            return;
        }
        for (id, row) in self.table[&place.key].range(..place.id) {
            let done = self.unsettled.iter().any(|(other, fate)| {
                let goes_on = *fate == Fate::Stuck && !self.stuck_holds;
                other.id == *id && (*fate == Fate::Published || goes_on)
            });
            let no_promise =
                self.late.contains(id) || !self.stuck_holds && self.skipped.contains(id);
            assert!(done || no_promise, "{place:?} overtakes {id}, which is {row:?}");
        }
    }

    fn end_one(&mut self, index: Index, fate: Fate) {
        if let Some(place) = take_one(&mut self.in_flight, index) {
            self.end(place, fate);
        }
    }

    fn end(&mut self, place: Place, fate: Fate) {
        match fate {
            Fate::Published => self.queue.published(&place),
            Fate::Failed => self.queue.failed(&place),
            Fate::Stuck => {
                self.skipped.insert(place.id);
                if self.stuck_holds {
                    self.queue.failed(&place);
                } else {
                    self.queue.published(&place);
                }
            }
            Fate::Unknown if self.has(place.key) => return self.queue.put_back(place),
            Fate::Unknown => return self.queue.let_go(&place),
        }
        self.unsettled.push((place, fate));
    }

    fn settle(&mut self, count: usize) {
        let count = count.min(self.unsettled.len());
        for (place, fate) in self.unsettled.drain(..count).collect::<Vec<_>>() {
            let rows = self.rows(place.key);
            let was = match fate {
                Fate::Published => rows.remove(&place.id),
                Fate::Failed | Fate::Stuck | Fate::Unknown => rows.get_mut(&place.id).map(|row| {
                    std::mem::replace(
                        row,
                        if fate == Fate::Failed { Row::Waits } else { Row::Stuck },
                    )
                }),
            };
            self.queue.settled(&place);
            if was.is_none() && fate != Fate::Published {
                self.cursor = 0;
            }
        }
        self.hand_over();
    }

    fn share(&mut self, lanes: u64) {
        let gained = lanes & !self.owned;
        self.leaving |= self.owned & !lanes;
        self.owned |= gained;
        self.queue.resume(LaneSet(gained));
        if gained != 0 {
            self.cursor = 0;
        }
        self.queue.keep(LaneSet(self.owned & !self.leaving));
        self.hand_over();
    }

    fn hand_over(&mut self) {
        let ready = self.leaving & !self.queue.busy().0;
        self.owned &= !ready;
        self.leaving &= !ready;
    }

    fn check(&self) {
        let sent = self.in_flight.iter().chain(&self.row);
        let of_ours = sent.chain(self.unsettled.iter().map(|(place, _)| place));
        let busy = of_ours.fold(0, |set, place| set | 1_u64 << lane(place.key));
        assert_eq!(self.queue.busy(), LaneSet(busy));
        assert!(self.queue.known.len() <= FULL + 64 * LINE);
        for line in self.queue.lines.values() {
            assert!(line.behind.len() <= 2 * LINE, "{} are remembered", line.behind.len());
        }
    }
}

fn sized(id: i64, key: i64) -> Place {
    Place { id, key, size: 1 + id % 9 }
}

fn take_one<T>(all: &mut Vec<T>, index: Index) -> Option<T> {
    (!all.is_empty()).then(|| all.swap_remove(index.index(all.len())))
}
