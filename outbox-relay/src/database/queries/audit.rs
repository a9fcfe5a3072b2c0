//! The changes that people make to events, and this relay's acknowledgements.

use tokio_postgres::types::ToSql;

use crate::database::{Database, DatabaseError};
use crate::publish::sent::SentContents;

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

/// The audit rows above `above`, up to `up_to`, that keep one of the `sent` events as it was before a
/// change that its contents, as they were sent, did not include.
pub(crate) async fn find_overtaken(
    database: &Database,
    above: i64,
    up_to: i64,
    sent: &[SentContents],
    most: i64,
) -> Result<Vec<i64>, DatabaseError> {
    let statement = &database.statements.find_overtaken;
    let ids: Vec<String> = sent.iter().map(|sent| sent.id.to_string()).collect();
    let audit_ids: Vec<i64> = sent.iter().map(|sent| sent.audit_id).collect();
    let params: [&(dyn ToSql + Sync); 5] = [&above, &up_to, &ids, &audit_ids, &most];
    let rows = database.session.query(statement, &params).await?;
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
