//! The customer database.

use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{bail, ensure};
use tokio_postgres::Client;
use uuid::Uuid;

use super::program::ConsumerProgram;
use crate::setup::{Servers, backend, connect_alone};

/// The customers, and a session with their database.
#[derive(Debug)]
pub(crate) struct Customers {
    pub(crate) url: String,
    pub(crate) number: usize,
    sql: Client,
    history: AtomicI64,
}

impl Customers {
    /// Creates this many customers without orders.
    pub(crate) async fn new(
        servers: &Servers,
        number: usize,
        program: &ConsumerProgram,
    ) -> anyhow::Result<Self> {
        let url = servers.postgres.database("customers").await?.url.clone();
        program.migrate(&url).await?;
        let sql = connect_alone(&url).await?;
        let add = include_str!("../../sql/add_customers.sql");
        sql.execute(add, &[&i64::try_from(number)?]).await?;
        Ok(Self { url, number, sql, history: 0.into() })
    }

    /// Adds rows of events that were counted long ago.
    pub(crate) async fn remember(&self, events: usize) -> anyhow::Result<()> {
        let events = i64::try_from(events)?;
        if events > 0 {
            let add = include_str!("../../sql/fill_processed_events.sql");
            self.sql.execute(add, &[&events]).await?;
        }
        self.history.fetch_add(events, Ordering::Relaxed);
        Ok(())
    }

    /// The number of such events.
    pub(crate) fn remembered(&self) -> i64 {
        self.history.load(Ordering::Relaxed)
    }

    /// Gives each run the same start: fresh statistics, nothing left to vacuum or to write back.
    pub(crate) async fn calm(&self) -> anyhow::Result<()> {
        self.sql.batch_execute("VACUUM (ANALYZE) customers").await?;
        self.sql.batch_execute("VACUUM (ANALYZE) processed_events").await?;
        self.sql.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// A session with the database.
    pub(crate) const fn session(&self) -> &Client {
        &self.sql
    }

    /// The backend pid of this session.
    pub(crate) async fn backend(&self) -> anyhow::Result<u32> {
        backend(&self.sql).await
    }

    /// The number of counted orders.
    pub(crate) async fn counted(&self) -> anyhow::Result<usize> {
        let sum = "SELECT sum(orders_count)::bigint FROM customers";
        let sum: i64 = self.sql.query_one(sum, &[]).await?.try_get(0)?;
        Ok(usize::try_from(sum)?)
    }

    /// The count of each customer, numbered from 0.
    pub(crate) async fn counts(&self) -> anyhow::Result<Vec<i64>> {
        let rows = self.sql.query(include_str!("../../sql/counts_of_customers.sql"), &[]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Returns those of these customers, numbered from 0, whose count exceeds the given one.
    pub(crate) async fn grown(&self, than: &[(usize, i64)]) -> anyhow::Result<Vec<usize>> {
        let mut numbers = Vec::with_capacity(than.len());
        for &(number, _) in than {
            numbers.push(i64::try_from(number)?);
        }
        let ids: Vec<Uuid> = than.iter().map(|&(number, _)| customer(number + 1)).collect();
        let counts: Vec<i64> = than.iter().map(|&(_, count)| count).collect();
        let grown = include_str!("../../sql/counts_that_grew.sql");
        let rows = self.sql.query(grown, &[&numbers, &ids, &counts]).await?;
        rows.iter().map(|row| Ok(usize::try_from(row.try_get::<_, i64>(0)?)?)).collect()
    }

    /// Fails unless each customer, numbered from 0, has this count, and as many events are recorded
    /// besides the history.
    pub(crate) async fn check_each(&self, expected: &[u64]) -> anyhow::Result<()> {
        let counts = self.counts().await?;
        let wrong = counts.iter().enumerate().find_map(|(number, &count)| {
            let expected = expected.get(number).copied().unwrap_or_default();
            (u64::try_from(count) != Ok(expected)).then_some((number, count, expected))
        });
        if let Some((number, count, expected)) = wrong {
            bail!(
                "customer {number} has {count} orders counted instead of {expected}: this run has no result"
            );
        }
        let count = "SELECT count(*) FROM processed_events";
        let remembered: i64 = self.sql.query_one(count, &[]).await?.try_get(0)?;
        let expected = i64::try_from(expected.iter().sum::<u64>())? + self.remembered();
        ensure!(
            remembered == expected,
            "{remembered} events are remembered instead of {expected}: this run has no result"
        );
        Ok(())
    }

    /// Fails unless `expected` events were counted, each once, evenly among the customers.
    pub(crate) async fn check(&self, expected: usize) -> anyhow::Result<()> {
        let history = self.remembered();
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

/// The id that `add_customers` gives the customer with this number.
fn customer(number: usize) -> Uuid {
    Uuid::from_u128(
        format!("{number}").bytes().fold(0, |id, digit| id << 4 | u128::from(digit - b'0')),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_id_tells_the_number() {
        assert_eq!(super::customer(1024).to_string(), "00000000-0000-0000-0000-000000001024");
    }
}
