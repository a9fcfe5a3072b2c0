//! Counts the pipeline's statements, if `pg_stat_statements` is installed. It is enabled only here:
//! counting costs most where there are most statements.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio_postgres::Client;

use crate::setup::{Servers, connect};

/// The timeout for sessions to reload a setting.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Statements {
    sql: Option<Client>,
    before: i64,
}

impl Statements {
    /// Switches counting on.
    pub(super) async fn begin(servers: &Servers) -> anyhow::Result<Self> {
        let sql = connect(&servers.postgres.url("postgres")).await?;
        let loaded = "SELECT FROM pg_settings WHERE name = 'pg_stat_statements.track'";
        if sql.query_opt(loaded, &[]).await?.is_none() {
            return Ok(Self { sql: None, before: 0 });
        }
        sql.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await?;
        count(&sql, true).await?;
        let before = calls(&sql).await?;
        Ok(Self { sql: Some(sql), before })
    }

    /// The number of statements since `begin`, if they were counted.
    pub(super) async fn end(self) -> anyhow::Result<Option<i64>> {
        let Some(sql) = self.sql else { return Ok(None) };
        let calls = calls(&sql).await? - self.before;
        count(&sql, false).await?;
        Ok(Some(calls))
    }
}

/// Switches counting on or off for all sessions.
pub(super) async fn count(sql: &Client, counting: bool) -> anyhow::Result<()> {
    let track = if counting { "top" } else { "none" };
    sql.batch_execute(&format!("ALTER SYSTEM SET pg_stat_statements.track = '{track}'")).await?;
    sql.batch_execute("SELECT pg_reload_conf()").await?;
    let end = Instant::now() + TIMEOUT;
    loop {
        let now: String = sql.query_one("SHOW pg_stat_statements.track", &[]).await?.try_get(0)?;
        if now == track {
            return Ok(());
        }
        ensure!(Instant::now() < end, "PostgreSQL does not hear of its settings");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn calls(sql: &Client) -> anyhow::Result<i64> {
    let calls = include_str!("../../sql/pipeline_statements.sql");
    Ok(sql.query_one(calls, &[]).await?.try_get(0)?)
}
