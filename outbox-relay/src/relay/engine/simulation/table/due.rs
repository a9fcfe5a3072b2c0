//! The events whose time has come, a page at a time.

use std::cmp::Ordering;

use super::*;
use crate::database::queries::{DueCursor, DuePage, DuePages, DuePosition};

/// The kinds of events that are found by their time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DueKind {
    Failed,
    Scheduled,
}

fn order(one: &DuePosition, other: &DuePosition) -> Ordering {
    // The start is no number.
    let key = |position: &DuePosition| (position.at.parse::<u128>().ok(), position.id);
    key(one).cmp(&key(other))
}

impl Table {
    /// Two pages of the events of one kind that are due: of those that no scan has read yet, and of
    /// the others.
    pub(super) fn due_pages(
        &self,
        kind: DueKind,
        DueCursor { unread, again }: &DueCursor,
        most: usize,
        now: Instant,
        is_wanted: impl Fn(i64, &Row) -> bool,
    ) -> DuePages {
        let is_kind = |row: &Row| (row.attempts > 0) == (kind == DueKind::Failed);
        let mut due: Vec<(DuePosition, i64, &Row)> = Vec::new();
        for (id, row) in &self.rows {
            if let NextAttempt::At(at) = row.next_attempt
                && row.is_visible_and_pending()
                && is_kind(row)
                && at <= now
            {
                due.push((self.position(at, *id), *id, row));
            }
        }
        due.sort_by(|(one, ..), (other, ..)| order(one, other));
        let mut pages = DuePages::default();
        let is_behind = |position: &DuePosition, other| order(position, other) == Ordering::Greater;
        for is_unread in [true, false] {
            let page = due.iter().filter(|(position, ..)| match is_unread {
                true => is_behind(position, unread),
                false => is_behind(position, again) && !is_behind(position, unread),
            });
            let page: Vec<_> = page.take(most).collect();
            let read = DuePage {
                rows: page.len(),
                last: page.last().map(|(position, ..)| position.clone()),
            };
            *(if is_unread { &mut pages.unread } else { &mut pages.again }) = read;
            let wanted = page.into_iter().filter(|(_, id, row)| is_wanted(*id, row));
            pages.event_refs.extend(wanted.map(|(_, id, row)| event_ref(*id, row)));
        }
        pages
    }

    /// As the database writes it, so that it can be compared as text.
    fn position(&self, at: Instant, id: i64) -> DuePosition {
        DuePosition { at: format!("{:020}", at.duration_since(self.epoch).as_nanos()), id }
    }
}
