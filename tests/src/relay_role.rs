//! The role that relays use: it may do what their work takes and nothing else.

use stack::Database;
use tokio_postgres::Client;

/// What makes the least-privilege roles in a database that has the outbox.
pub const ROLES: &str = include_str!("../../sql/roles.sql");

/// Makes the least-privilege roles in a database that has the outbox; `owner` is a session with it.
/// Returns the relay's URL.
///
/// # Errors
/// When the database refuses.
pub async fn relay_url(database: &Database, owner: &Client) -> anyhow::Result<String> {
    owner.batch_execute(ROLES).await?;
    database.url_as("outbox_relay").await
}
