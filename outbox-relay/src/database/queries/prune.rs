//! Deleting events that were published long ago.

use std::time::Duration;

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::database::{DatabaseError, PruneSession};
use crate::settle::batch::in_ascii;

/// Takes the lock of the one session that prunes. Returns false if another session holds it.
pub(crate) async fn lock_pruning(
    PruneSession { session, statements, .. }: &PruneSession,
) -> Result<bool, DatabaseError> {
    Ok(session.query_one(&statements.lock_pruning, &[]).await?.try_get(0)?)
}

/// A part of the table that was read.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) looked_at: i64,
    /// Published before the retention time.
    pub(crate) old: i64,
    pub(crate) deleted: i64,
    pub(crate) highest: i64,
}

pub(crate) async fn prune(
    PruneSession { session, statements, .. }: &PruneSession,
    above: i64,
    rows: i64,
    retention: Duration,
) -> Result<Slice, DatabaseError> {
    let retention = retention.as_secs_f64();
    let row = session.query_one(&statements.prune, &[&above, &rows, &retention]).await?;
    Ok(Slice {
        looked_at: row.try_get("looked_at")?,
        old: row.try_get("old")?,
        deleted: row.try_get("deleted")?,
        highest: row.try_get::<_, Option<i64>>("highest")?.unwrap_or(above),
    })
}

/// The id and `event_id` of the first row above an id.
pub(crate) async fn next_row(
    PruneSession { session, statements, .. }: &PruneSession,
    above: i64,
) -> Result<Option<(i64, Uuid)>, DatabaseError> {
    let rows = session.query(&statements.next_row, &[&above]).await?;
    let read = |row: &tokio_postgres::Row| Ok((row.try_get("id")?, row.try_get("event_id")?));
    rows.first().map(read).transpose()
}

/// Writes into `outbox_unsettled` that an event can't be deleted at the end of its retention, if
/// that table is there.
pub(crate) async fn note_expired(
    PruneSession { session, notes, is_utf8, .. }: &PruneSession,
    id: i64,
    event_id: Uuid,
    reason: &str,
) -> Result<(), DatabaseError> {
    let Some((notes, _)) = notes else {
        return Ok(());
    };
    let reason = if *is_utf8 { reason.to_owned() } else { in_ascii(reason) };
    let (event_ids, ids, kinds, reasons) =
        (vec![event_id], vec![id], vec!["refused"], vec![reason]);
    let params: [&(dyn ToSql + Sync); 5] = [&event_ids, &ids, &"expired", &kinds, &reasons];
    session.query(&notes.note_unsettled, &params).await.map(drop)
}

/// Deletes the rows of `outbox_unsettled` about expired events that are deleted by now.
pub(crate) async fn forget_expired(
    PruneSession { session, notes, .. }: &PruneSession,
) -> Result<(), DatabaseError> {
    match notes {
        Some((_, notes)) => session.query(&notes.forget_expired, &[]).await.map(drop),
        None => Ok(()),
    }
}
