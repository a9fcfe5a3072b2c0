//! One function per statement of `sql/dead-letters/commands`. Those of `return` and `edit` are in
//! their folders.

use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::args::LetterFilter;
use super::letter::Letter;
use super::tables::Session;
use crate::commands::queries::Attribution;
use crate::commands::session::decode::{json, text};

/// Returns dead letters without their contents, in the order of `ids`.
pub(super) async fn list(session: &Session, ids: &[i64]) -> anyhow::Result<Vec<Letter>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/list.sql");
    session.query(sql, &[&ids]).await?.iter().map(json).collect()
}

/// Returns at most `groups` groups of open dead letters, of which at most `count` are counted.
pub(super) async fn list_groups<T: DeserializeOwned>(
    session: &Session,
    queue: Option<&str>,
    kind: Option<&str>,
    groups: i64,
    count: i64,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/list_groups.sql");
    session.query(sql, &[&queue, &kind, &groups, &count]).await?.iter().map(json).collect()
}

/// A body, or its beginning.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// The size of all of it.
    pub(super) size: i32,
}

/// Returns one dead letter, with at most `longest` bytes of its body, without headers and properties
/// that take more than `stored` bytes on disk.
pub(super) async fn find_letter<T: DeserializeOwned>(
    session: &Session,
    id: i64,
    longest: Option<i32>,
    stored: Option<i32>,
) -> anyhow::Result<Option<(T, Body)>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/find_letter.sql");
    let rows = session.query(sql, &[&id, &longest, &stored]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let body = Body { bytes: row.try_get("body")?, size: row.try_get("bytes")? };
    Ok(Some((json(row)?, body)))
}

/// Returns the earlier deaths of a message, the latest first.
pub(super) async fn find_deaths<T: DeserializeOwned>(
    session: &Session,
    id: i64,
    limit: i64,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/find_deaths.sql");
    session.query(sql, &[&id, &limit]).await?.iter().map(json).collect()
}

/// Returns the audit rows of a dead letter, the oldest first, with or without the bodies before and
/// after an edit.
pub(super) async fn find_audit<T: DeserializeOwned>(
    session: &Session,
    id: i64,
    limit: i64,
    with_bodies: bool,
    longest_change: Option<i32>,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/find_audit.sql");
    let params: [&(dyn ToSql + Sync); 4] = [&id, &limit, &with_bodies, &longest_change];
    session.query(sql, &params).await?.iter().map(json).collect()
}

/// Returns the ids of at most `limit` matching dead letters in one of `states`, in no order.
pub(super) async fn select_matching(
    session: &Session,
    filter: &LetterFilter,
    states: &[&str],
    limit: usize,
) -> anyhow::Result<Vec<i64>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/select_matching.sql");
    let filter = filter.json()?;
    let mut found = Vec::new();
    for state in states {
        let rest = i64::try_from(limit - found.len())?;
        found.extend(ids(&session.query(sql, &[&filter, state, &rest]).await?)?);
    }
    Ok(found)
}

/// Returns how many dead letters are `returning`.
pub(super) async fn count_returning(session: &Session, queue: Option<&str>) -> anyhow::Result<i64> {
    let sql = include_str!("../../../../sql/dead-letters/commands/count_returning.sql");
    Ok(session.query_one(sql, &[&queue]).await?.try_get(0)?)
}

/// Returns the ids in `letters` whose rows retention has deleted, but that have audit rows.
pub(super) async fn find_pruned(session: &Session, letters: &[i64]) -> anyhow::Result<Vec<i64>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/find_pruned.sql");
    ids(&session.query(sql, &[&letters]).await?)
}

/// The state of a dead letter, to explain why it was not changed.
#[derive(Debug)]
pub(super) struct LetterState {
    pub(super) id: i64,
    pub(super) state: String,
    /// Who changed it last.
    pub(super) actor: Option<String>,
    /// Whether its `return_to` is unknown.
    pub(super) has_no_way_back: bool,
    /// Whether its contents were erased.
    pub(super) is_forgotten: bool,
}

/// Returns the states of the dead letters in `ids` that exist.
pub(super) async fn find_states(
    session: &Session,
    ids: &[i64],
) -> anyhow::Result<Vec<LetterState>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/find_states.sql");
    let rows = session.query(sql, &[&ids]).await?;
    let state = |row: &Row| {
        Ok(LetterState {
            id: row.try_get("id")?,
            state: text(row, "state")?,
            actor: row.try_get("actor")?,
            has_no_way_back: row.try_get("has_no_way_back")?,
            is_forgotten: row.try_get("is_forgotten")?,
        })
    };
    rows.iter().map(state).collect()
}

/// Marks the dead letters in `ids` that are open and not locked as discarded. Returns their ids.
pub(super) async fn discard(
    session: &Session,
    letters: &[i64],
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<Vec<i64>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/discard.sql");
    ids(&session.query_audited(sql, &[&letters, actor, reason, operation_id]).await?)
}

/// Erases the contents of the dead letters that are settled and not locked, and with `with_reasons`
/// the reasons of what people did to them. Returns the ids of those of which something was erased.
pub(super) async fn forget(
    session: &Session,
    letters: &[i64],
    with_reasons: bool,
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<Vec<i64>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/forget.sql");
    let params: [&(dyn ToSql + Sync); 5] = [&letters, actor, reason, operation_id, &with_reasons];
    ids(&session.query_audited(sql, &params).await?)
}

/// Replaces the notes of the dead letters in `ids` that are not locked. Returns their ids.
pub(super) async fn note(
    session: &Session,
    letters: &[i64],
    note: Option<&str>,
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<Vec<i64>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/note.sql");
    ids(&session.query_audited(sql, &[&letters, actor, reason, operation_id, &note]).await?)
}

/// Returns the ids in the first column.
pub(super) fn ids(rows: &[Row]) -> anyhow::Result<Vec<i64>> {
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
