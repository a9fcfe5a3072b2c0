//! The changes that people make to events, and this relay's acknowledgements.

use std::collections::HashMap;

use tokio_postgres::types::Json;

use crate::database::{Database, DatabaseError};

/// What commands have left for the relays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Audited {
    /// The id of the latest audit row, 0 while there is none.
    pub(crate) latest: i64,
    /// Whether one may ask about events.
    pub(crate) is_asked: bool,
}

pub(crate) async fn latest_audit_id(database: &Database) -> Result<Audited, DatabaseError> {
    let row = database.session.query_one(&database.statements.latest_audit_id, &[]).await?;
    Ok(Audited {
        latest: row.try_get::<_, Option<i64>>("audited")?.unwrap_or(0),
        is_asked: row.try_get("is_asked")?,
    })
}

/// The id of the latest audit row, 0 while there is none.
pub(crate) async fn audited_up_to(database: &Database) -> Result<i64, DatabaseError> {
    let row = database.session.query_one(&database.statements.audited_up_to, &[]).await?;
    Ok(row.try_get::<_, Option<i64>>("audited")?.unwrap_or(0))
}

/// The audit rows above `above`, up to `up_to`, of changes that what was sent of their events did
/// not include. `sent`: the ids of events, and the latest audit row whose change was included.
pub(crate) async fn find_overtaken(
    database: &Database,
    above: i64,
    up_to: i64,
    sent: &HashMap<i64, i64>,
    most: i64,
) -> Result<Vec<i64>, DatabaseError> {
    let statement = &database.statements.find_overtaken;
    let rows = database.session.query(statement, &[&above, &up_to, &Json(sent), &most]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

pub(crate) async fn lock_in_flight(
    database: &Database,
    audit_ids: &[i64],
) -> Result<(), DatabaseError> {
    database.session.query(&database.statements.lock_in_flight, &[&audit_ids]).await.map(drop)
}

pub(crate) async fn unlock_in_flight(
    database: &Database,
    audit_ids: &[i64],
) -> Result<(), DatabaseError> {
    database.session.query(&database.statements.unlock_in_flight, &[&audit_ids]).await.map(drop)
}

pub(crate) async fn acknowledge_audit(
    database: &Database,
    audit_id: i64,
    before: Option<i64>,
) -> Result<(), DatabaseError> {
    database
        .session
        .query_one(&database.statements.acknowledge_audit, &[&audit_id, &before])
        .await
        .map(drop)
}
