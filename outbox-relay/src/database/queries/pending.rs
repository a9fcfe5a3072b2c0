//! Finding pending events, and counting them.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::{InspectStatements, OpenTransaction};
use crate::database::{Database, DatabaseError, Session};
use crate::lanes::LaneSet;
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

/// What a scan has read.
#[derive(Debug)]
pub(crate) struct ScannedRows {
    pub(crate) event_refs: Vec<EventRef>,
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
) -> Result<ScannedRows, DatabaseError> {
    let xids: Vec<Option<i64>> = open.iter().map(|open| open.writer.xid).collect();
    let above_ids: Vec<i64> = open.iter().map(|open| open.above).collect();
    let virtual_ids: Vec<&str> = open.iter().map(|open| open.writer.virtual_id.as_str()).collect();
    let params: [&(dyn ToSql + Sync); 8] = [
        &above,
        &xids,
        &above_ids,
        &lanes.0.cast_signed(),
        &rows,
        &policy.ordered,
        &policy.stuck_holds,
        &virtual_ids,
    ];
    seen(&database.session.query(&database.statements.scan_new, &params).await?)
}

/// As [`scan_new`], on another session and whatever transactions are open.
pub(crate) async fn sweep(
    session: &Session,
    statements: &InspectStatements,
    above: i64,
    lanes: LaneSet,
    rows: i64,
    policy: BlockingPolicy,
) -> Result<ScannedRows, DatabaseError> {
    let params: [&(dyn ToSql + Sync); 8] = [
        &above,
        &Vec::<i64>::new(),
        &Vec::<i64>::new(),
        &lanes.0.cast_signed(),
        &rows,
        &policy.ordered,
        &policy.stuck_holds,
        &Vec::<&str>::new(),
    ];
    seen(&session.query(&statements.scan_new, &params).await?)
}

fn seen(rows: &[Row]) -> Result<ScannedRows, DatabaseError> {
    let Some(first) = rows.first() else {
        return Ok(ScannedRows {
            event_refs: Vec::new(),
            rows: 0,
            reached: None,
            audited: None,
            filenode: None,
        });
    };
    Ok(ScannedRows {
        rows: first.try_get("rows")?,
        reached: first.try_get("reached")?,
        audited: first.try_get("audited")?,
        filenode: first.try_get("filenode")?,
        event_refs: rows
            .iter()
            .filter_map(|row| match row.try_get::<_, Option<i64>>("id") {
                Ok(None) => None,
                Ok(Some(_)) => Some(event_ref(row)),
                Err(error) => Some(Err(error)),
            })
            .collect::<Result<_, _>>()?,
    })
}

fn event_ref(row: &Row) -> Result<EventRef, Error> {
    Ok(EventRef {
        id: row.try_get("id")?,
        key: row.try_get("key")?,
        // NULL with the payload, which is found when the event is loaded.
        size: row.try_get::<_, Option<i64>>("size")?.unwrap_or(0),
    })
}

pub(crate) async fn scan_due_retries(
    database: &Database,
    lanes: LaneSet,
    most: i64,
    policy: BlockingPolicy,
) -> Result<Vec<EventRef>, DatabaseError> {
    let rows = database
        .session
        .query(
            &database.statements.scan_due_retries,
            &[&lanes.0.cast_signed(), &most, &policy.ordered, &policy.stuck_holds],
        )
        .await?;
    Ok(rows.iter().map(event_ref).collect::<Result<_, _>>()?)
}

pub(crate) async fn scan_successors(
    database: &Database,
    keys: &[i64],
    ids: &[i64],
    most: i64,
    stuck_holds: bool,
) -> Result<Vec<EventRef>, DatabaseError> {
    let rows = database
        .session
        .query(&database.statements.scan_successors, &[&keys, &ids, &most, &stuck_holds])
        .await?;
    Ok(rows.iter().map(event_ref).collect::<Result<_, _>>()?)
}

pub(crate) async fn measure_backlog(
    session: &Session,
    statements: &InspectStatements,
    most: i64,
) -> Result<Row, DatabaseError> {
    session.query_one(&statements.measure_backlog, &[&most]).await
}
