//! What a session is set to, and what people see of it.

use tokio_postgres::{Client, Error};

use crate::database::{Database, DatabaseError};

pub(crate) async fn prepare_session(client: &Client) -> Result<(), Error> {
    client.batch_execute(include_str!("../../../sql/relay/queries/prepare_session.sql")).await
}

/// The server ends a session of which it hears nothing for this long, and with it the relay's locks. The relay asks twice a second.
pub(crate) async fn limit_silence(client: &Client) -> Result<(), Error> {
    client.batch_execute("SET idle_session_timeout = '12s'").await
}

pub(crate) async fn name_session(database: &Database, name: &str) -> Result<(), DatabaseError> {
    database.claim.query_one(&database.claims.name_session, &[&name]).await.map(drop)
}
