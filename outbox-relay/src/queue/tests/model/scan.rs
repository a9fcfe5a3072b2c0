//! The relay looks into the table.

use std::collections::{BTreeMap, HashSet};

use super::table::Row;
use super::{KEYS, World};
use crate::queue::{Place, Queue};

impl World {
    pub(super) fn looks_further(&self) -> bool {
        self.table.iter().any(|(key, rows)| {
            let held = self.held_behind(*key);
            rows.iter().any(|(id, row)| {
                row.is_pending() && (*id > self.cursor || *row == Row::Due && *id <= held)
            })
        })
    }

    pub(super) fn may_look(&mut self) -> bool {
        self.catching_up &= !self.unsettled.is_empty();
        !self.catching_up
    }

    pub(super) fn look_ahead(&mut self, rows: usize) {
        if !self.may_look() || self.queue.is_full() {
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
        let held = KEYS.map(|key| (key, self.held_behind(key)));
        let held = BTreeMap::from(held);
        for (id, key, row) in above {
            if row == Row::New && self.has(key) && id < held[&key] {
                self.queue.see(sized(id, key));
            }
        }
    }

    /// What it finds is late: everything else is found by the looks, or waited for.
    pub(super) fn sweep(&mut self) {
        if !self.may_look() {
            return;
        }
        let mut lowest = None;
        for (key, rows) in &self.table {
            let held = self.held_behind(*key);
            for (id, _) in rows.range(..=self.cursor).filter(|(_, row)| **row == Row::New) {
                let place = sized(*id, *key);
                if self.has(*key) && *id < held && !self.queue.covers(&place) {
                    assert!(self.late.contains(id), "{place:?} is overlooked: {:?}", self.queue);
                    lowest = Some(lowest.map_or(*id, |lowest: i64| lowest.min(*id)));
                }
            }
        }
        if let Some(lowest) = lowest {
            self.cursor = lowest - 1;
        }
    }

    pub(super) fn look_due(&mut self, rows: usize) {
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

    pub(super) fn look_behind(&mut self, lines: usize) {
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
}

fn sized(id: i64, key: i64) -> Place {
    Place { id, key, size: 1 + id % 9 }
}
