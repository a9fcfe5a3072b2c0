//! The relay reads the table.

use std::collections::{BTreeMap, HashSet};

use super::table::Row;
use super::{KEYS, Model};
use crate::queue::{EventRef, Queue};

impl Model {
    pub(super) fn finds_more(&self) -> bool {
        self.table.iter().any(|(key, rows)| {
            let held = self.held_back_above(*key);
            rows.iter().any(|(id, row)| {
                let is_due = matches!(row, Row::Due | Row::ScheduledDue);
                row.is_pending() && (*id > self.cursor || is_due && *id <= held)
            })
        })
    }

    pub(super) fn may_scan(&mut self) -> bool {
        self.catching_up &= !self.unsettled.is_empty();
        !self.catching_up
    }

    pub(super) fn scan_new(&mut self, rows: usize) {
        if !self.may_scan() || self.queue.is_full() {
            return;
        }
        let above = self.table.iter().flat_map(|(key, rows)| {
            let above = rows.range(self.cursor + 1..).filter(|(_, row)| row.is_pending());
            above.map(|(id, row)| (*id, *key, *row))
        });
        let mut above: Vec<_> = above.collect();
        above.sort_unstable_by_key(|(id, ..)| *id);
        above.truncate(rows);
        self.cursor = above.last().map_or(self.cursor, |(id, ..)| *id);
        let held = KEYS.map(|key| (key, self.held_back_above(key)));
        let held = BTreeMap::from(held);
        for (id, key, row) in above {
            if row.is_new() && self.has(key) && id < held[&key] {
                self.queue.push(sized(id, key));
            }
        }
    }

    /// Finds late rows only: all others are found by scans, or waited for.
    pub(super) fn sweep(&mut self) {
        if !self.may_scan() {
            return;
        }
        let mut lowest = None;
        for (key, rows) in &self.table {
            let held = self.held_back_above(*key);
            for (id, _) in rows.range(..=self.cursor).filter(|(_, row)| **row == Row::New) {
                let event_ref = sized(*id, *key);
                if self.has(*key) && *id < held && !self.queue.tracks(&event_ref) {
                    assert!(
                        self.late.contains(id),
                        "{event_ref:?} is overlooked: {:?}",
                        self.queue
                    );
                    lowest = Some(lowest.map_or(*id, |lowest: i64| lowest.min(*id)));
                }
            }
        }
        if let Some(lowest) = lowest {
            self.cursor = lowest - 1;
        }
    }

    pub(super) fn scan_due_retries(&mut self, rows: usize) {
        if !self.may_scan() {
            return;
        }
        let due = self.table.iter().flat_map(|(key, rows)| {
            let held = self.held_back_above(*key);
            let is_due = |id: i64, row: Row| match row {
                Row::Due => true,
                Row::ScheduledDue => id <= self.cursor,
                _ => false,
            };
            let due = rows.iter().filter(move |(id, row)| is_due(**id, **row) && **id <= held);
            due.map(|(id, row)| (*id, *key, *row))
        });
        let due: Vec<_> = due.filter(|(_, key, _)| self.has(*key)).take(rows).collect();
        for (id, key, row) in due {
            if row.is_scheduled() {
                self.queue.push(sized(id, key));
            } else {
                self.queue.push_retry(sized(id, key));
            }
        }
    }

    pub(super) fn scan_successors(&mut self, aggregates: usize) {
        if !self.may_scan() {
            return;
        }
        let (keys, ids) = self.queue.underfilled(aggregates);
        assert!(keys.len() <= aggregates);
        assert_eq!(keys.len(), keys.iter().collect::<HashSet<_>>().len());
        let mut found = Vec::new();
        for (&key, &id) in keys.iter().zip(&ids) {
            assert!(self.has(key), "it reads an aggregate that is another relay's");
            let end = self.held_back_above(key);
            let rows = self.table[&key].range(id + 1..).filter(|(_, row)| row.is_new());
            let rows = rows.filter(|(id, _)| **id < end).take(Queue::REFILL);
            found.extend(rows.map(|(id, _)| sized(*id, key)));
        }
        self.queue.refill(&keys, found);
    }
}

fn sized(id: i64, key: i64) -> EventRef {
    EventRef { id, key, size: 1 + id % 9 }
}
