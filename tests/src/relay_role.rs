//! The relays' least-privilege role.

use stack::Database;
use tokio_postgres::Client;

/// The statements that create the least-privilege roles in a database with the outbox.
pub const ROLES: &str = include_str!("../../sql/roles.sql");

/// Creates the least-privilege roles in a database with the outbox; `owner` is a session with it.
/// Returns the relay's URL.
///
/// # Errors
/// When the database refuses.
pub async fn relay_url(database: &Database, owner: &Client) -> anyhow::Result<String> {
    owner.batch_execute(ROLES).await?;
    database.url_as("outbox_relay").await
}
