//! A database with the tables of the desk.

use std::time::Instant;

use anyhow::ensure;
use futures_util::{SinkExt as _, TryStreamExt as _, stream};
use tokio_postgres::Client;

use crate::setup::{Servers, connect_alone};

/// The tables, and a session with their database.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) url: String,
    pub(crate) sql: Client,
}

impl Desk {
    /// Creates empty tables.
    pub(crate) async fn new(servers: &Servers) -> anyhow::Result<Self> {
        let url = servers.postgres.database("desk").await?.url.clone();
        let sql = connect_alone(&url).await?;
        sql.batch_execute(include_str!("../../../sql/dead-letters/schema.sql")).await?;
        Ok(Self { url, sql })
    }

    /// Gives each run the same start: no rows, nothing left to vacuum or to write back.
    pub(crate) async fn clear(&self) -> anyhow::Result<()> {
        self.sql.batch_execute("TRUNCATE dead_letters").await?;
        self.sql.batch_execute("VACUUM (ANALYZE) dead_letters").await?;
        self.sql.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// Fails unless there is one row for each of `expected` messages.
    pub(crate) async fn check(&self, expected: usize) -> anyhow::Result<()> {
        let check = include_str!("../../sql/check_dead_letters.sql");
        let row = self.sql.query_one(check, &[]).await?;
        let found: (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let expected = i64::try_from(expected)?;
        ensure!(
            found == (expected, expected, 0),
            "{} rows of {} messages, {} of them delivered again, instead of {expected}: this run \
             has no result",
            found.0,
            found.1,
            found.2
        );
        Ok(())
    }

    /// The limit of storing: COPY of the same rows, all at once, into a table with the same indexes.
    /// Returns rows a second.
    pub(crate) async fn copy(&self) -> anyhow::Result<f64> {
        let rows = self.sql.copy_out("COPY dead_letters TO STDOUT (FORMAT binary)").await?;
        let rows: Vec<_> = rows.try_collect().await?;
        self.sql.batch_execute("CREATE TABLE same_rows (LIKE dead_letters INCLUDING ALL)").await?;
        self.sql.batch_execute("CHECKPOINT").await?;
        let begun = Instant::now();
        let copying = self.sql.copy_in("COPY same_rows FROM STDIN (FORMAT binary)").await?;
        let mut copying = std::pin::pin!(copying);
        copying.send_all(&mut stream::iter(rows.into_iter().map(Ok))).await?;
        let copied = copying.finish().await?;
        let per_second = copied as f64 / begun.elapsed().as_secs_f64();
        self.sql.batch_execute("DROP TABLE same_rows").await?;
        Ok(per_second)
    }
}
