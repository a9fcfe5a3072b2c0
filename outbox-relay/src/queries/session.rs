//! What a session is set to, and what people see of it.

use tokio_postgres::{Client, Error};

use crate::database::{Database, DatabaseError};
use crate::table::OutboxTable;

pub(crate) async fn prepare_session(client: &Client) -> Result<(), Error> {
    client.batch_execute(include_str!("../../../sql/relay/queries/prepare_session.sql")).await
}

/// The server ends a session of which it hears nothing for this long, and with it the relay's locks. The relay asks twice a second.
pub(crate) async fn limit_silence(client: &Client) -> Result<(), Error> {
    client.batch_execute("SET idle_session_timeout = '12s'").await
}

/// Limits of the session that notes outcomes.
pub(crate) async fn prepare_settling(client: &Client) -> Result<(), Error> {
    client.batch_execute(include_str!("../../../sql/relay/queries/prepare_settling.sql")).await
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
    let sql = table.fill_in(include_str!("../../../sql/relay/queries/find_unsettled.sql"));
    let row = client.query_one(&sql, &[]).await?;
    let encoding: &str = row.try_get("encoding")?;
    Ok(Notes { are_kept: row.try_get("usable")?, is_utf8: encoding == "UTF8" })
}

pub(crate) async fn name_session(database: &Database, name: &str) -> Result<(), DatabaseError> {
    database.claim.query_one(&database.claims.name_session, &[&name]).await.map(drop)
}
