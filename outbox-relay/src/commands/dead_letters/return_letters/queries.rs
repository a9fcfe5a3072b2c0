//! One function per statement of `dead-letters return`.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::tables::Session;
use super::refused::Refused;
use crate::commands::queries::Attribution;
use crate::dead_letters::{CONFIRM_LIMIT, ReturningRow};

/// How much longer than for the confirms a transaction may stay idle, in milliseconds: it includes
/// connecting to the broker.
const MARGIN: u128 = 90_000;

/// Returns the ids and sizes, in bytes, of the dead letters that exist, ordered by id.
pub(super) async fn measure(session: &Session, letters: &[i64]) -> anyhow::Result<Vec<(i64, i32)>> {
    let sql = include_str!("../../../../../sql/dead-letters/commands/measure.sql");
    let rows = session.query(sql, &[&letters]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// A dead letter that was marked as being returned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marked {
    pub(super) id: i64,
    /// Whether it was already marked: an earlier attempt ended without an answer, or is running.
    pub(super) may_have_arrived: bool,
}

/// Marks the dead letters in `letters` that are open or `returning`, and not locked. Returns them.
pub(super) async fn mark_returning(
    session: &Session,
    letters: &[i64],
    to: Option<&str>,
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<Vec<Marked>> {
    let sql = include_str!("../../../../../sql/dead-letters/commands/mark_returning.sql");
    let params: [&(dyn ToSql + Sync); 5] = [&letters, actor, reason, operation_id, &to];
    let rows = session.query_audited(sql, &params).await?;
    rows.iter()
        .map(|row| {
            Ok(Marked {
                id: row.try_get("id")?,
                may_have_arrived: row.try_get("may_have_arrived")?,
            })
        })
        .collect()
}

/// Begins a transaction and locks the dead letters in `letters` that are `returning` and not locked
/// by another session. Returns them, with `to`, if given, as the queue of each.
pub(super) async fn lock_returning(
    session: &mut Session,
    letters: &[i64],
    to: Option<&str>,
) -> anyhow::Result<Vec<ReturningRow>> {
    let sql = include_str!("../../../../../sql/dead-letters/commands/allow_idle.sql");
    let limit = (CONFIRM_LIMIT.as_millis() + MARGIN).to_string();
    session.begin(sql, &[&limit]).await?;
    let sql = include_str!("../../../../../sql/dead-letters/commands/lock_returning.sql");
    session.query_open(sql, &[&letters, &to]).await?.iter().map(returning_row).collect()
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

/// Marks dead letters as returned in the open transaction, which survives a refusal.
pub(super) async fn settle_returned(
    session: &mut Session,
    letters: &[i64],
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<()> {
    if letters.is_empty() {
        return Ok(());
    }
    let sql = include_str!("../../../../../sql/dead-letters/commands/settle_returned.sql");
    session.try_open(sql, &[&letters, actor, reason, operation_id]).await.map(drop)
}

/// Marks dead letters as open again in the open transaction, which survives a refusal.
pub(super) async fn reopen(
    session: &mut Session,
    refused: &[Refused],
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let sql = include_str!("../../../../../sql/dead-letters/commands/reopen.sql");
    let letters: Vec<i64> = refused.iter().map(|letter| letter.id).collect();
    // PostgreSQL holds no NUL in a text.
    let why: Vec<String> = refused.iter().map(|letter| letter.reason.replace('\0', "")).collect();
    let in_doubt: Vec<bool> = refused.iter().map(|letter| letter.may_have_arrived).collect();
    let params: [&(dyn ToSql + Sync); 6] = [&letters, actor, reason, operation_id, &why, &in_doubt];
    session.try_open(sql, &params).await.map(drop)
}
