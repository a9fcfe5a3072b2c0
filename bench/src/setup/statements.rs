//! Measures how many statements the relay executes, and what they cost.

use std::time::{Duration, Instant};

use super::outbox::Outbox;

/// Counts a relay's statements.
#[derive(Debug)]
pub(crate) struct Statements<'a> {
    outbox: &'a Outbox,
    /// Whether `pg_stat_statements` is available; otherwise the database's transactions are
    /// counted.
    pub(crate) exact: bool,
}

/// The statements of a period.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) per_second: f64,
    /// Mean execution time, if known.
    pub(crate) microseconds_each: Option<f64>,
    /// Mean number of pages read, if known.
    pub(crate) pages_each: Option<f64>,
}

struct Total {
    calls: i64,
    milliseconds: f64,
    blocks: i64,
}

impl<'a> Statements<'a> {
    /// For servers started with `start_counting`.
    pub(crate) async fn of(outbox: &'a Outbox) -> anyhow::Result<Self> {
        let loaded = "SELECT FROM pg_settings WHERE name = 'shared_preload_libraries' AND setting LIKE '%pg_stat_statements%'";
        let exact = outbox.sql.query_opt(loaded, &[]).await?.is_some();
        if exact {
            outbox.sql.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await?;
        }
        Ok(Self { outbox, exact })
    }

    /// Counts statements for this long.
    pub(crate) async fn watch(&self, duration: Duration) -> anyhow::Result<Window> {
        let (begun, before) = (Instant::now(), self.total().await?);
        tokio::time::sleep(duration).await;
        let (seconds, after) = (begun.elapsed().as_secs_f64(), self.total().await?);
        let calls = (after.calls - before.calls) as f64;
        let each = |total: f64| (self.exact && calls > 0.0).then(|| total / calls);
        Ok(Window {
            per_second: calls / seconds,
            microseconds_each: each((after.milliseconds - before.milliseconds) * 1000.0),
            pages_each: each((after.blocks - before.blocks) as f64),
        })
    }

    async fn total(&self) -> anyhow::Result<Total> {
        let sql = &self.outbox.sql;
        if self.exact {
            let row = sql.query_one(include_str!("../../sql/relay_statements.sql"), &[]).await?;
            return Ok(Total {
                calls: row.try_get("calls")?,
                milliseconds: row.try_get("milliseconds")?,
                blocks: row.try_get("blocks")?,
            });
        }
        let row = sql.query_one(include_str!("../../sql/database_transactions.sql"), &[]).await?;
        Ok(Total { calls: row.try_get("transactions")?, milliseconds: 0.0, blocks: 0 })
    }
}
