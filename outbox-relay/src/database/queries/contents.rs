//! The contents of pending events.

use std::time::Duration;

use tokio_postgres::Row;

use crate::database::{Database, DatabaseError};
use crate::publish::event::Limits;

/// Loads the contents of events. The server gives up after `within`.
pub(crate) async fn load(
    database: &Database,
    ids: &[i64],
    bytes: i64,
    limits: Limits,
    within: Duration,
) -> Result<Vec<Row>, DatabaseError> {
    let Limits { payload, headers } = limits;
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&ids, &bytes, &payload, &headers];
    database.session.query_within(within, &database.statements.load, &params).await
}

/// Reads what is known of events without their contents. The server gives up after `within`.
pub(crate) async fn identify(
    database: &Database,
    ids: &[i64],
    within: Duration,
) -> Result<Vec<Row>, DatabaseError> {
    database.session.query_within(within, &database.statements.identify, &[&ids]).await
}

/// Counts the digits of events' numbers. The server gives up after `within`.
pub(crate) async fn count_digits(
    database: &Database,
    ids: &[i64],
    longest: i64,
    within: Duration,
) -> Result<Vec<Row>, DatabaseError> {
    database
        .session
        .query_within(within, &database.statements.count_digits, &[&ids, &longest])
        .await
}
