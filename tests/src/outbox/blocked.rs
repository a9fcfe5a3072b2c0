//! Locks the outbox against writes, so that nothing can be settled.

use tokio_postgres::Client;

use super::{Outbox, connect};

impl Outbox {
    /// Postpones all pending events until [`lock_table`](Self::lock_table).
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn put_off(&self) -> anyhow::Result<()> {
        Ok(self.sql.batch_execute("UPDATE outbox SET next_attempt_at = 'infinity'").await?)
    }

    /// Makes the postponed events due soon and then locks the table: a connected relay publishes
    /// them and can't settle any. The lock ends with the returned session's transaction.
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
