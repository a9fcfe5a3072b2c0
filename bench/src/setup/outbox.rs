//! A database with just the outbox.

use anyhow::ensure;
use tokio_postgres::Client;

use super::events::Events;
use super::servers::{Servers, connect};

/// An outbox, and a session with its database.
#[derive(Debug)]
pub(crate) struct Outbox {
    url: String,
    /// The URL for a relay.
    pub(crate) relay_url: String,
    pub(crate) sql: Client,
}

impl Outbox {
    /// Creates an empty one.
    pub(crate) async fn new(servers: &Servers) -> anyhow::Result<Self> {
        let database = servers.postgres.database("bench").await?;
        let relay_url = servers.relay_url(&database.name);
        let sql = connect(&database.url).await?;
        sql.batch_execute(include_str!("../../../sql/outbox/schema.sql")).await?;
        // Makes the benchmark's own queries use the index, whatever the statistics say.
        sql.batch_execute("SET enable_seqscan = off; SET enable_sort = off").await?;
        Ok(Self { url: database.url.clone(), relay_url, sql })
    }

    /// Opens another session.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        connect(&self.url).await
    }

    /// `postgres://…` as superuser.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Adds events in one transaction.
    pub(crate) async fn fill(&self, events: Events<'_>) -> anyhow::Result<()> {
        events.insert(&self.sql).await
    }

    /// Empties the table.
    pub(crate) async fn clear(&self) -> anyhow::Result<()> {
        self.sql.batch_execute("TRUNCATE outbox").await?;
        Ok(())
    }

    /// Gives each run the same start: fresh statistics, nothing left to vacuum or to write back.
    pub(crate) async fn calm(&self) -> anyhow::Result<()> {
        self.sql.batch_execute("VACUUM (ANALYZE) outbox").await?;
        self.sql.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// The number that a query returns.
    pub(crate) async fn count(&self, query: &str) -> anyhow::Result<usize> {
        let count: i64 = self.sql.query_one(query, &[]).await?.try_get(0)?;
        Ok(usize::try_from(count)?)
    }

    /// Fails unless exactly `pending` events are left unpublished.
    pub(crate) async fn check_pending(&self, pending: usize) -> anyhow::Result<()> {
        let left = self.count("SELECT count(*) FROM outbox WHERE published_at IS NULL").await?;
        ensure!(
            left == pending,
            "{left} events are pending instead of {pending}: this run has no result"
        );
        Ok(())
    }
}
