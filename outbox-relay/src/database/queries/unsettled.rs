//! The table `outbox_unsettled`: events whose rows can't be changed for now.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::database::{Database, DatabaseError, SettleSession};
use crate::lanes::LaneSet;
use crate::queue::EventRef;
use crate::settle::batch::{SettleItem, in_ascii};
use crate::settle::unsettled::{SettleError, UnsettledEvent};
use crate::settle::unsettled_events;

/// The `outcome` of an event that the broker has confirmed.
const PUBLISHED: &str = "published";

/// Inserts confirmed events.
///
/// # Errors
/// [`DatabaseError::NoUnsettledTable`] if the table is missing.
pub(crate) async fn note_unsettled<'a>(
    SettleSession { session, notes, is_utf8, .. }: &SettleSession,
    unsettled: impl Iterator<Item = &'a UnsettledEvent>,
) -> Result<(), DatabaseError> {
    let Some(notes) = notes else {
        return Err(DatabaseError::NoUnsettledTable);
    };
    let (mut event_ids, mut ids, mut kinds, mut reasons) = (vec![], vec![], vec![], vec![]);
    for one in unsettled {
        event_ids.push(one.item.event_id);
        ids.push(one.item.event_ref.id);
        kinds.push(one.error.kind());
        let reason = one.error.reason();
        reasons.push(if *is_utf8 { reason } else { reason.as_deref().map(in_ascii) });
    }
    let params: [&(dyn ToSql + Sync); 5] = [&event_ids, &ids, &PUBLISHED, &kinds, &reasons];
    session.query(&notes.note_unsettled, &params).await.map(drop)
}

/// Deletes these events' rows.
pub(crate) async fn forget_unsettled(
    SettleSession { session, notes, .. }: &SettleSession,
    event_ids: &[Uuid],
) -> Result<(), DatabaseError> {
    match notes {
        Some(notes) if !event_ids.is_empty() => {
            session.query(&notes.forget_unsettled, &[&event_ids]).await.map(drop)
        }
        _ => Ok(()),
    }
}

/// Returns the confirmed events of `lanes` that could not be settled, after rows about events that
/// are no longer pending are deleted.
pub(crate) async fn load_unsettled(
    Database { session, unsettled, .. }: &Database,
    lanes: LaneSet,
) -> Result<Vec<UnsettledEvent>, DatabaseError> {
    let Some(statements) = unsettled else {
        return Ok(Vec::new());
    };
    session.query(&statements.forget_gone, &[]).await?;
    let most = i64::try_from(unsettled_events::FULL).unwrap_or(i64::MAX);
    let rows = session.query(&statements.load_unsettled, &[&lanes.0.cast_signed(), &most]).await?;
    let read = |row: &tokio_postgres::Row| {
        let event_ref = EventRef { id: row.try_get("id")?, key: row.try_get("key")?, size: 0 };
        let (event_id, attempts) =
            (row.try_get("event_id")?, crate::publish::event::read_attempts(row)?);
        let item = SettleItem { event_ref, event_id, attempts, failure: None };
        let error = SettleError::read(row.try_get("kind")?, row.try_get("reason")?);
        Ok(UnsettledEvent { item, error, is_noted: true })
    };
    rows.iter().map(read).collect()
}
