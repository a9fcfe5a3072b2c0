//! How many rows commands read.

use tokio_postgres::Client;

use crate::outbox::eventually;

/// The rows of a table that statements have fetched so far, and those of its indexes. `sql` is a
/// session with the database of the table.
///
/// # Errors
/// When the server does not answer, or a command's session does not end.
pub async fn rows_read(sql: &Client, table: &str) -> anyhow::Result<i64> {
    commands_ended(sql).await?;
    let read = "SELECT ((SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables WHERE relname = $1)
                      + (SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE relname = $1))::bigint";
    Ok(sql.query_one(read, &[&table]).await?.get(0))
}

/// The blocks of a table's indexes that statements have read so far: also those in which they found
/// no row.
///
/// # Errors
/// When the server does not answer, or a command's session does not end.
pub async fn index_blocks_read(sql: &Client, table: &str) -> anyhow::Result<i64> {
    commands_ended(sql).await?;
    let read = "SELECT coalesce(sum(idx_blks_read + idx_blks_hit), 0)::bigint FROM pg_statio_user_indexes WHERE relname = $1";
    Ok(sql.query_one(read, &[&table]).await?.get(0))
}

/// How often statements have read a table from its begin to its end so far.
///
/// # Errors
/// When the server does not answer, or a command's session does not end.
pub async fn sequential_scans(sql: &Client, table: &str) -> anyhow::Result<i64> {
    commands_ended(sql).await?;
    let read =
        "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname = $1";
    Ok(sql.query_one(read, &[&table]).await?.get(0))
}

/// Waits until the statistics have what commands have read.
async fn commands_ended(sql: &Client) -> anyhow::Result<()> {
    // A session reports what it has read when it ends, which may be after its client has.
    eventually("the command's session has ended", async || {
        let sessions = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND application_name LIKE '% command %'";
        Ok(sql.query_one(sessions, &[]).await?.get::<_, i64>(0) == 0)
    })
    .await?;
    // What this session has read is reported once a second, unless it is asked for (PostgreSQL 15).
    let report = "DO $$ BEGIN PERFORM pg_stat_force_next_flush(); EXCEPTION WHEN undefined_function THEN NULL; END $$";
    sql.batch_execute(report).await?;
    sql.batch_execute("SELECT pg_stat_clear_snapshot()").await?;
    Ok(())
}
