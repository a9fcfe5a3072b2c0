//! Finding pending events, and counting them.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::{InspectStatements, OpenTransaction};
use crate::database::{Database, DatabaseError, Session};
use crate::lanes::LaneSet;
use crate::pauses::{PauseColumns, PauseSet};
use crate::queue::EventRef;
use crate::settle::batch::Disposition;

/// Which failed events hold back those behind them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockingPolicy {
    /// Whether a failed event holds back those behind it: `RELAY_ORDERING`.
    pub(crate) ordered: bool,
    /// Whether a stuck one does so too: `RELAY_WHEN_STUCK`.
    pub(crate) stuck_holds: bool,
}

impl BlockingPolicy {
    /// Whether an event that failed holds back those behind it.
    pub(crate) const fn holds_back(self, disposition: Disposition) -> bool {
        match disposition {
            Disposition::Retry => true,
            Disposition::Stuck => self.stuck_holds,
        }
    }
}

/// What comes next in some aggregates.
#[derive(Debug, Default)]
pub(crate) struct Successors {
    pub(crate) event_refs: Vec<EventRef>,
    /// Those that are paused.
    pub(crate) paused: Vec<EventRef>,
}

/// What a scan has read.
#[derive(Debug)]
pub(crate) struct ScannedRows {
    pub(crate) event_refs: Vec<EventRef>,
    /// Events that are paused for their type, where order matters; no other paused ones are here.
    pub(crate) paused: Vec<EventRef>,
    /// How many rows were read, of all lanes.
    pub(crate) rows: i64,
    /// The highest id among them.
    pub(crate) reached: Option<i64>,
    /// The latest row of the audit table.
    pub(crate) audited: Option<i64>,
    /// The file that the table is stored in: another one after `TRUNCATE`.
    pub(crate) filenode: Option<i64>,
}

pub(crate) async fn scan_new(
    database: &Database,
    above: i64,
    open: &[OpenTransaction],
    lanes: LaneSet,
    rows: i64,
    policy: BlockingPolicy,
    pauses: &PauseSet,
) -> Result<ScannedRows, DatabaseError> {
    let PauseColumns { aggregate_types, aggregate_ids, event_types } = pauses.columns();
    let xids: Vec<Option<i64>> = open.iter().map(|open| open.writer.xid).collect();
    let above_ids: Vec<i64> = open.iter().map(|open| open.above).collect();
    let virtual_ids: Vec<&str> = open.iter().map(|open| open.writer.virtual_id.as_str()).collect();
    let params: [&(dyn ToSql + Sync); 12] = [
        &above,
        &lanes.0.cast_signed(),
        &policy.ordered,
        &policy.stuck_holds,
        &rows,
        &xids,
        &above_ids,
        &virtual_ids,
        &true,
        &aggregate_types,
        &aggregate_ids,
        &event_types,
    ];
    scanned_rows(&database.session.query(&database.statements.scan_new, &params).await?)
}

/// As [`scan_new`], on another session and whatever transactions are open.
pub(crate) async fn sweep(
    session: &Session,
    statements: &InspectStatements,
    above: i64,
    lanes: LaneSet,
    rows: i64,
    policy: BlockingPolicy,
    pauses: &PauseSet,
) -> Result<ScannedRows, DatabaseError> {
    let PauseColumns { aggregate_types, aggregate_ids, event_types } = pauses.columns();
    let params: [&(dyn ToSql + Sync); 12] = [
        &above,
        &lanes.0.cast_signed(),
        &policy.ordered,
        &policy.stuck_holds,
        &rows,
        &Vec::<i64>::new(),
        &Vec::<i64>::new(),
        &Vec::<&str>::new(),
        // They are found by their time.
        &false,
        &aggregate_types,
        &aggregate_ids,
        &event_types,
    ];
    scanned_rows(&session.query(&statements.scan_new, &params).await?)
}

fn scanned_rows(rows: &[Row]) -> Result<ScannedRows, DatabaseError> {
    let Some(first) = rows.first() else {
        return Ok(ScannedRows {
            event_refs: Vec::new(),
            paused: Vec::new(),
            rows: 0,
            reached: None,
            audited: None,
            filenode: None,
        });
    };
    let mut scanned = ScannedRows {
        rows: first.try_get("rows")?,
        reached: first.try_get("reached")?,
        audited: first.try_get("audited")?,
        filenode: first.try_get("filenode")?,
        event_refs: Vec::new(),
        paused: Vec::new(),
    };
    for row in rows {
        if row.try_get::<_, Option<i64>>("id")?.is_some() {
            let is_paused = row.try_get("is_paused")?;
            let events = if is_paused { &mut scanned.paused } else { &mut scanned.event_refs };
            events.push(event_ref(row)?);
        }
    }
    Ok(scanned)
}

pub(super) fn event_ref(row: &Row) -> Result<EventRef, Error> {
    Ok(EventRef {
        id: row.try_get("id")?,
        key: row.try_get("key")?,
        // NULL with the payload, which is found when the event is loaded.
        size: row.try_get::<_, Option<i64>>("size")?.unwrap_or(0),
    })
}

pub(crate) async fn scan_successors(
    database: &Database,
    keys: &[i64],
    ids: &[i64],
    most: i64,
    stuck_holds: bool,
    pauses: &PauseSet,
) -> Result<Successors, DatabaseError> {
    let PauseColumns { aggregate_types, aggregate_ids, event_types } = pauses.columns();
    let params: [&(dyn ToSql + Sync); 7] =
        [&keys, &ids, &most, &stuck_holds, &aggregate_types, &aggregate_ids, &event_types];
    let mut successors = Successors::default();
    for row in database.session.query(&database.statements.scan_successors, &params).await? {
        let is_paused = row.try_get("is_paused")?;
        let events = if is_paused { &mut successors.paused } else { &mut successors.event_refs };
        events.push(event_ref(&row)?);
    }
    Ok(successors)
}

pub(crate) async fn measure_backlog(
    session: &Session,
    statements: &InspectStatements,
    most: i64,
) -> Result<Row, DatabaseError> {
    session.query_one(&statements.measure_backlog, &[&most]).await
}

/// The oldest of some pending events that is not scheduled for later.
#[derive(Debug)]
pub(crate) enum OldestPending {
    AgeSeconds(f64),
    /// There is none.
    None,
    /// All that were looked at, up to this id, are scheduled.
    Above(i64),
}

pub(crate) async fn find_oldest(
    session: &Session,
    statements: &InspectStatements,
    above: i64,
    most: i64,
) -> Result<OldestPending, DatabaseError> {
    let row = session.query_one(&statements.find_oldest, &[&above, &most]).await?;
    let (age, rows): (Option<f64>, i64) = (row.try_get("age_seconds")?, row.try_get("rows")?);
    Ok(match (age, row.try_get("reached")?) {
        (Some(age), _) => OldestPending::AgeSeconds(age.max(0.0)),
        (None, Some(reached)) if rows >= most => OldestPending::Above(reached),
        (None, _) => OldestPending::None,
    })
}
