//! The rows, and what the database answers.

use std::collections::BTreeMap;

use proptest::sample::Index;

use super::Model;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    New,
    /// It was written for later.
    Scheduled,
    /// Its time has come.
    ScheduledDue,
    Waits,
    Due,
    Stuck,
    /// It stays in the table until it is pruned.
    Published,
}

impl Row {
    pub(super) const fn is_pending(self) -> bool {
        !matches!(self, Self::Published)
    }

    /// Whether a scan in the order of the ids returns it.
    pub(super) const fn is_new(self) -> bool {
        matches!(self, Self::New | Self::ScheduledDue)
    }

    pub(super) const fn is_scheduled(self) -> bool {
        matches!(self, Self::Scheduled | Self::ScheduledDue)
    }
}

impl Model {
    pub(super) fn rows(&mut self, key: i64) -> &mut BTreeMap<i64, Row> {
        self.table.entry(key).or_default()
    }

    pub(super) fn pick(&self, index: Index, which: impl Fn(Row) -> bool) -> Option<(i64, i64)> {
        let all = self.table.iter().flat_map(|(key, rows)| {
            rows.iter().filter(|(_, row)| which(**row)).map(|(id, _)| (*key, *id))
        });
        let all: Vec<_> = all.collect();
        (!all.is_empty()).then(|| *index.get(&all))
    }

    pub(super) fn unpublish(&mut self, index: Index) {
        if let Some((key, id)) = self.pick(index, |row| !row.is_pending()) {
            self.late.insert(id);
            self.rows(key).insert(id, Row::New);
        }
    }

    pub(super) fn prune(&mut self, index: Index) {
        if let Some((_, last)) = self.pick(index, |row| !row.is_pending()) {
            for rows in self.table.values_mut() {
                rows.retain(|id, row| row.is_pending() || *id > last);
            }
        }
    }

    pub(super) fn commit(&mut self, id: i64, key: i64) {
        if self.last_id > id {
            // Whether or not there is one in the table now: it may be published already.
            self.late.insert(id);
        }
        self.rows(key).insert(id, Row::New);
        // What the watermark promises.
        self.cursor = self.cursor.min(id - 1);
    }

    /// The id behind which the table holds back the rows of an aggregate.
    pub(super) fn held_back_above(&self, key: i64) -> i64 {
        let holds = |row: Row| match row {
            Row::New | Row::Scheduled | Row::ScheduledDue | Row::Published => false,
            Row::Waits | Row::Due => true,
            Row::Stuck => self.stuck_holds,
        };
        let first = self.table[&key].iter().find(|(_, row)| self.ordered && holds(**row));
        first.map_or(i64::MAX, |(id, _)| *id)
    }
}
