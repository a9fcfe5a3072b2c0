//! What became of events that were sent.

use std::collections::HashSet;

use tokio_postgres::Row;
use uuid::Uuid;

use super::SettleStatements;
use crate::database::{DatabaseError, Session};

pub(crate) async fn settle_published(
    session: &Session,
    statements: &SettleStatements,
    ids: &[i64],
    event_ids: &[Uuid],
) -> Result<HashSet<i64>, DatabaseError> {
    ids_of(&session.query(&statements.settle_published, &[&ids, &event_ids]).await?)
}

pub(crate) async fn settle_deleted(
    session: &Session,
    statements: &SettleStatements,
    ids: &[i64],
    event_ids: &[Uuid],
) -> Result<HashSet<i64>, DatabaseError> {
    ids_of(&session.query(&statements.settle_deleted, &[&ids, &event_ids]).await?)
}

pub(crate) async fn settle_failed(
    session: &Session,
    statements: &SettleStatements,
    ids: &[i64],
    event_ids: &[Uuid],
    reasons: &[&str],
    delays_seconds: &[Option<f64>],
) -> Result<HashSet<i64>, DatabaseError> {
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&ids, &event_ids, &reasons, &delays_seconds];
    ids_of(&session.query(&statements.settle_failed, &params).await?)
}

pub(crate) async fn still_pending(
    session: &Session,
    statements: &SettleStatements,
    ids: &[i64],
    event_ids: &[Uuid],
) -> Result<HashSet<i64>, DatabaseError> {
    ids_of(&session.query(&statements.still_pending, &[&ids, &event_ids]).await?)
}

fn ids_of(rows: &[Row]) -> Result<HashSet<i64>, DatabaseError> {
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}
