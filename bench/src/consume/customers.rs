//! The customer database.

use anyhow::ensure;
use tokio_postgres::{Client, NoTls};

use super::run::Program;
use crate::setup::Servers;

/// Customers, and a session with their database.
#[derive(Debug)]
pub(super) struct Customers {
    pub(super) url: String,
    pub(super) number: usize,
    sql: Client,
    history: std::sync::atomic::AtomicI64,
}

impl Customers {
    /// So many who have ordered nothing yet.
    pub(super) async fn new(
        servers: &Servers,
        number: usize,
        program: &Program,
    ) -> anyhow::Result<Self> {
        let url = servers.postgres.database("customers").await?.url.clone();
        program.migrate(&url).await?;
        let (sql, connection) = tokio_postgres::connect(&url, NoTls).await?;
        // Ends when the client is dropped; an error shows up in the client's next call.
        tokio::spawn(connection);
        let add = include_str!("../../sql/add_customers.sql");
        sql.execute(add, &[&i64::try_from(number)?]).await?;
        Ok(Self { url, number, sql, history: 0.into() })
    }

    /// Adds events that were counted long ago.
    pub(super) async fn remember(&self, history: usize) -> anyhow::Result<()> {
        let events = i64::try_from(history)?;
        if events > 0 {
            eprintln!("adding {history} events that were counted before");
            let add = include_str!("../../sql/fill_processed_events.sql");
            self.sql.execute(add, &[&events]).await?;
        }
        self.history.store(events, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// Makes each run begin alike: statistics are true, nothing is left to clean up or to write back.
    pub(super) async fn calm(&self) -> anyhow::Result<()> {
        self.sql.batch_execute("VACUUM (ANALYZE) customers").await?;
        self.sql.batch_execute("VACUUM (ANALYZE) processed_events").await?;
        self.sql.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// How many orders are counted.
    pub(super) async fn counted(&self) -> anyhow::Result<usize> {
        let sum = "SELECT sum(orders_count)::bigint FROM customers";
        let sum: i64 = self.sql.query_one(sum, &[]).await?.try_get(0)?;
        Ok(usize::try_from(sum)?)
    }

    /// Fails unless `expected` events were counted, each once, and evenly among the customers.
    pub(super) async fn check(&self, expected: usize) -> anyhow::Result<()> {
        let history = self.history.load(std::sync::atomic::Ordering::Relaxed);
        let check = include_str!("../../sql/check_counts.sql");
        let row = self.sql.query_one(check, &[&history]).await?;
        let (counted, remembered): (i64, i64) = (row.try_get(0)?, row.try_get(3)?);
        let (least, greatest): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        let expected = i64::try_from(expected)?;
        ensure!(
            counted == expected && remembered == expected && greatest - least <= expected / 100,
            "{counted} events counted and {remembered} remembered instead of {expected}, {least} to {greatest} \
             for a customer: this run has no result"
        );
        Ok(())
    }
}
