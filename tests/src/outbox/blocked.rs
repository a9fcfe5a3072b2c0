//! A table that can be read and not changed: what is published meanwhile can't be settled.

use tokio_postgres::Client;

use super::{Outbox, connect};

impl Outbox {
    /// Keeps what is pending from being published, until [`lock_table`](Self::lock_table).
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn put_off(&self) -> anyhow::Result<()> {
        Ok(self.sql.batch_execute("UPDATE outbox SET next_attempt_at = 'infinity'").await?)
    }

    /// Has what was put off published in a moment, and locks the table before: a relay that is
    /// connected already publishes it and can't settle any of it. The lock ends with the
    /// transaction of the session that is returned.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn lock_table(&self) -> anyhow::Result<Client> {
        let other = connect(&self.database.url).await?;
        let due = "UPDATE outbox SET next_attempt_at = now() + interval '3 seconds'";
        other.batch_execute(due).await?;
        other.batch_execute("BEGIN; LOCK TABLE outbox IN SHARE MODE").await?;
        Ok(other)
    }
}
