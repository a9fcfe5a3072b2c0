//! What a session is set to, what it may do, and what people see of it.

use tokio_postgres::{Client, Error};

use super::ClaimStatements;
use crate::database::HiddenRows;
use crate::database::OutboxTable;
use crate::database::{Database, DatabaseError, Session};

pub(crate) async fn prepare_session(client: &Client) -> Result<(), Error> {
    client.batch_execute(include_str!("../../../../sql/relay/queries/prepare_session.sql")).await
}

/// What the session that settles needs besides.
pub(crate) async fn prepare_settle_session(client: &Client) -> Result<(), Error> {
    let sql = include_str!("../../../../sql/relay/queries/prepare_settle_session.sql");
    client.batch_execute(sql).await
}

/// `deletes`: whether the relay deletes published events.
pub(crate) async fn find_hidden_rows(
    session: &Session,
    claims: &ClaimStatements,
    deletes: bool,
) -> Result<Option<HiddenRows>, DatabaseError> {
    Ok(HiddenRows::read(&session.query(&claims.find_hidden_rows, &[&deletes]).await?)?)
}

/// What a session needs to know before it notes anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notes {
    /// Whether `outbox_unsettled` is there and may be used.
    pub(crate) are_kept: bool,
    /// Whether every character can be stored.
    pub(crate) is_utf8: bool,
}

pub(crate) async fn find_notes(client: &Client, table: &OutboxTable) -> Result<Notes, Error> {
    let sql = table.fill_in(include_str!("../../../../sql/relay/queries/find_unsettled.sql"));
    let row = client.query_one(&sql, &[]).await?;
    let encoding: &str = row.try_get("encoding")?;
    Ok(Notes { are_kept: row.try_get("usable")?, is_utf8: encoding == "UTF8" })
}

pub(crate) async fn name_session(database: &Database, name: &str) -> Result<(), DatabaseError> {
    database.claim.query_one(&database.claims.name_session, &[&name]).await.map(drop)
}
