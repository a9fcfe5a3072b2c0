//! What a session is set to, what it may do, and what people see of it.

use tokio_postgres::{Client, Error};

use super::ClaimStatements;
use crate::database::{Database, DatabaseError, Session};
use crate::hidden::HiddenRows;

pub(crate) async fn prepare_session(client: &Client) -> Result<(), Error> {
    client.batch_execute(include_str!("../../../sql/relay/queries/prepare_session.sql")).await
}

/// What the session that settles needs besides.
pub(crate) async fn prepare_settle_session(client: &Client) -> Result<(), Error> {
    let sql = include_str!("../../../sql/relay/queries/prepare_settle_session.sql");
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

pub(crate) async fn name_session(database: &Database, name: &str) -> Result<(), DatabaseError> {
    database.claim.query_one(&database.claims.name_session, &[&name]).await.map(drop)
}
