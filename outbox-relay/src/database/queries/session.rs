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

/// What a relay can use, but works without: an older schema lacks it, or the role may not use it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptionalParts {
    /// The table `outbox_unsettled`.
    pub(crate) has_unsettled: bool,
    /// The columns for the cause of a failure.
    pub(crate) has_causes: bool,
    /// Whether the database can store every character.
    pub(crate) is_utf8: bool,
}

pub(crate) async fn find_optional_parts(
    client: &Client,
    table: &OutboxTable,
) -> Result<OptionalParts, Error> {
    let sql = table.fill_in(include_str!("../../../../sql/relay/queries/find_optional.sql"));
    let row = client.query_one(&sql, &[]).await?;
    let encoding: &str = row.try_get("encoding")?;
    Ok(OptionalParts {
        has_unsettled: row.try_get("has_unsettled")?,
        has_causes: row.try_get("has_causes")?,
        is_utf8: encoding == "UTF8",
    })
}

pub(crate) async fn name_session(database: &Database, name: &str) -> Result<(), DatabaseError> {
    database.session.query_one(&database.statements.name_session, &[&name]).await.map(drop)
}
