//! One function per statement of `dead-letters return`.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::queries::ids;
use super::super::tables::Session;
use crate::commands::queries::Attribution;
use crate::dead_letters::{CONFIRM_LIMIT, ReturningRow};

/// How much longer than for the confirms a transaction may wait, in milliseconds: connecting takes
/// part of it.
const MARGIN: u128 = 90_000;

/// Fails unless the role may return dead letters.
pub(super) async fn probe_return(session: &Session) -> anyhow::Result<()> {
    let sql = include_str!("../../../../../sql/dead-letters/commands/probe_return.sql");
    session.query(sql, &[]).await.map(drop)
}

/// Returns the sizes of dead letters that are there, in bytes, in the order of their ids.
pub(super) async fn measure(session: &Session, letters: &[i64]) -> anyhow::Result<Vec<(i64, i32)>> {
    let sql = include_str!("../../../../../sql/dead-letters/commands/measure.sql");
    let rows = session.query(sql, &[&letters]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Marks those of `letters` that are open or being returned, and free. Returns them.
pub(super) async fn mark_returning(
    session: &Session,
    letters: &[i64],
    to: Option<&str>,
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<Vec<i64>> {
    let sql = include_str!("../../../../../sql/dead-letters/commands/mark_returning.sql");
    let params: [&(dyn ToSql + Sync); 5] = [&letters, actor, reason, operation_id, &to];
    ids(&session.query_audited(sql, &params).await?)
}

/// Begins a transaction that has those of `letters` locked that are being returned, and nobody else
/// has. Returns them.
pub(super) async fn lock_returning(
    session: &mut Session,
    letters: &[i64],
) -> anyhow::Result<Vec<ReturningRow>> {
    let sql = include_str!("../../../../../sql/dead-letters/commands/allow_idle.sql");
    let limit = (CONFIRM_LIMIT.as_millis() + MARGIN).to_string();
    session.begin(sql, &[&limit]).await?;
    let sql = include_str!("../../../../../sql/dead-letters/commands/lock_returning.sql");
    session.query_open(sql, &[&letters]).await?.iter().map(returning_row).collect()
}

fn returning_row(row: &Row) -> anyhow::Result<ReturningRow> {
    Ok(ReturningRow {
        id: row.try_get("id")?,
        queue: row.try_get("queue")?,
        return_to: row.try_get("return_to")?,
        content_header: row.try_get("content_header")?,
        body: row.try_get("body")?,
    })
}

/// Marks letters as returned in the open transaction.
pub(super) async fn settle_returned(
    session: &mut Session,
    letters: &[i64],
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<()> {
    if letters.is_empty() {
        return Ok(());
    }
    let sql = include_str!("../../../../../sql/dead-letters/commands/settle_returned.sql");
    session.query_open(sql, &[&letters, actor, reason, operation_id]).await.map(drop)
}

/// Marks letters as open again in the open transaction. `refused`: which, and why.
pub(super) async fn reopen(
    session: &mut Session,
    refused: &[(i64, String)],
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let sql = include_str!("../../../../../sql/dead-letters/commands/reopen.sql");
    let letters: Vec<i64> = refused.iter().map(|(id, _)| *id).collect();
    // PostgreSQL holds no NUL in a text.
    let why: Vec<String> = refused.iter().map(|(_, why)| why.replace('\0', "")).collect();
    let params: [&(dyn ToSql + Sync); 5] = [&letters, actor, reason, operation_id, &why];
    session.query_open(sql, &params).await.map(drop)
}
