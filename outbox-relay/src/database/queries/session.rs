//! Settings of a session, its rights, and its name.

use tokio_postgres::{Client, Error};

use super::RelayStatements;
use crate::database::HiddenRows;
use crate::database::OutboxTable;
use crate::database::{Database, DatabaseError, Session};

pub(crate) async fn prepare_session(client: &Client) -> Result<(), Error> {
    client.batch_execute(include_str!("../../../../sql/relay/queries/prepare_session.sql")).await
}

/// Further settings of the session that settles.
pub(crate) async fn prepare_settle_session(client: &Client) -> Result<(), Error> {
    let sql = include_str!("../../../../sql/relay/queries/prepare_settle_session.sql");
    client.batch_execute(sql).await
}

/// `deletes`: whether the relay deletes published events.
pub(crate) async fn find_hidden_rows(
    session: &Session,
    statements: &RelayStatements,
    deletes: bool,
) -> Result<Option<HiddenRows>, DatabaseError> {
    Ok(HiddenRows::read(&session.query(&statements.find_hidden_rows, &[&deletes]).await?)?)
}

/// What a session has to know of `outbox_unsettled`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnsettledTable {
    /// Whether it is there and may be used.
    pub(crate) is_usable: bool,
    /// Whether the database can store every character.
    pub(crate) is_utf8: bool,
}

pub(crate) async fn find_unsettled_table(
    client: &Client,
    table: &OutboxTable,
) -> Result<UnsettledTable, Error> {
    let sql = table.fill_in(include_str!("../../../../sql/relay/queries/find_unsettled.sql"));
    let row = client.query_one(&sql, &[]).await?;
    let encoding: &str = row.try_get("encoding")?;
    Ok(UnsettledTable { is_usable: row.try_get("usable")?, is_utf8: encoding == "UTF8" })
}

pub(crate) async fn name_session(database: &Database, name: &str) -> Result<(), DatabaseError> {
    database.session.query_one(&database.statements.name_session, &[&name]).await.map(drop)
}
