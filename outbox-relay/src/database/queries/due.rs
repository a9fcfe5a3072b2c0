//! Events whose time has come: failed ones that are due again, and scheduled ones.

use tokio_postgres::types::ToSql;

use super::BlockingPolicy;
use super::pending::event_ref;
use crate::database::{Database, DatabaseError};
use crate::lanes::LaneSet;
use crate::pauses::{PauseColumns, PauseSet};
use crate::queue::EventRef;

/// A place in the order of the times at which events are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DuePosition {
    /// The time, as the database writes it.
    pub(crate) at: String,
    pub(crate) id: i64,
}

impl DuePosition {
    /// Before all others.
    pub(crate) fn start() -> Self {
        Self { at: "-infinity".to_owned(), id: i64::MIN }
    }

    fn end() -> Self {
        Self { at: "infinity".to_owned(), id: i64::MAX }
    }
}

/// How far the due events of one kind have been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DueCursor {
    /// Those behind it have not been read yet.
    pub(crate) unread: DuePosition,
    /// Those up to `unread` are read again and again while they are due: behind this one next.
    pub(crate) again: DuePosition,
}

impl Default for DueCursor {
    fn default() -> Self {
        Self { unread: DuePosition::start(), again: DuePosition::start() }
    }
}

/// How much a page of due events held.
#[derive(Debug, Default)]
pub(crate) struct DuePage {
    pub(crate) rows: usize,
    /// The last of them.
    pub(crate) last: Option<DuePosition>,
}

/// The due events of one kind that were read.
#[derive(Debug, Default)]
pub(crate) struct DuePages {
    /// Those that may be sent, in the order of their times.
    pub(crate) event_refs: Vec<EventRef>,
    pub(crate) unread: DuePage,
    pub(crate) again: DuePage,
}

/// Events whose time has come.
#[derive(Debug, Default)]
pub(crate) struct DueEvents {
    /// Those that failed before.
    pub(crate) failed: DuePages,
    /// Those that were written for that time.
    pub(crate) scheduled: DuePages,
}

impl DueEvents {
    /// How many rows were read.
    pub(crate) const fn rows(&self) -> usize {
        let Self { failed, scheduled } = self;
        failed.unread.rows + failed.again.rows + scheduled.unread.rows + scheduled.again.rows
    }
}

/// Reads at most `rows` of each page. `up_to` is the highest id of scheduled events.
pub(crate) async fn scan_due(
    database: &Database,
    lanes: LaneSet,
    rows: i64,
    policy: BlockingPolicy,
    [failed, scheduled]: [&DueCursor; 2],
    up_to: i64,
    pauses: &PauseSet,
) -> Result<DueEvents, DatabaseError> {
    let PauseColumns { aggregate_types, aggregate_ids, event_types } = pauses.columns();
    let lanes = lanes.0.cast_signed();
    let end = DuePosition::end();
    let pages = [
        (true, true, &failed.unread, &end),
        (true, false, &failed.again, &failed.unread),
        (false, true, &scheduled.unread, &end),
        (false, false, &scheduled.again, &scheduled.unread),
    ];
    let params: [&(dyn ToSql + Sync); 14] = [
        &lanes,
        &rows,
        &policy.ordered,
        &policy.stuck_holds,
        &pages.map(|(has_failed, ..)| has_failed).to_vec(),
        &pages.map(|(_, is_unread, ..)| is_unread).to_vec(),
        &pages.map(|(.., after, _)| after.at.as_str()).to_vec(),
        &pages.map(|(.., after, _)| after.id).to_vec(),
        &pages.map(|(.., last)| last.at.as_str()).to_vec(),
        &pages.map(|(.., last)| last.id).to_vec(),
        &up_to,
        &aggregate_types,
        &aggregate_ids,
        &event_types,
    ];
    let mut due = DueEvents::default();
    for row in database.session.query(&database.statements.scan_due, &params).await? {
        let pages = if row.try_get("has_failed")? { &mut due.failed } else { &mut due.scheduled };
        let page = if row.try_get("is_unread")? { &mut pages.unread } else { &mut pages.again };
        page.rows += 1;
        page.last = Some(DuePosition { at: row.try_get("due_at")?, id: row.try_get("id")? });
        if row.try_get("is_wanted")? {
            pages.event_refs.push(event_ref(&row)?);
        }
    }
    Ok(due)
}
