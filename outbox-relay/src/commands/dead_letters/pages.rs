//! The statements of `sql/dead-letters/commands` that find a page of a list. Each reads a bounded
//! number of rows.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::args::LetterFilter;
use super::tables::Session;
use crate::commands::audit_entry::AuditEntry;
use crate::commands::paging::{CAUSE_LIMIT, Cursor, Page, PageSize};
use crate::commands::queries::AuditFilter;

/// Finds the ids of the oldest dead letters that are open, or that are being returned.
pub(super) async fn find_unsettled(
    session: &Session,
    filter: &LetterFilter,
    state: &str,
    after: Option<&Cursor>,
    size: PageSize,
) -> anyhow::Result<Page<i64>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/find_unsettled.sql");
    let (filter, after) = (filter.json()?, Cursor::by_id(after)?);
    let params: [&(dyn ToSql + Sync); 5] = [&filter, &state, &size.wanted(), &size.read(), &after];
    page(&session.query(sql, &params).await?, size)
}

/// Finds the ids of the oldest open dead letters of the causes and types that `filter` names.
pub(super) async fn find_by_cause(
    session: &Session,
    filter: &LetterFilter,
    after: Option<&Cursor>,
    size: PageSize,
) -> anyhow::Result<Page<i64>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/find_by_cause.sql");
    let (filter, after) = (filter.json()?, Cursor::by_id(after)?);
    let params: [&(dyn ToSql + Sync); 5] =
        [&filter, &after, &size.wanted(), &size.read(), &CAUSE_LIMIT];
    page(&session.query(sql, &params).await?, size)
}

/// Finds the ids of the dead letters that were returned, or discarded, last.
pub(super) async fn find_settled(
    session: &Session,
    filter: &LetterFilter,
    state: &str,
    after: Option<&Cursor>,
    size: PageSize,
) -> anyhow::Result<Page<i64>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/find_settled.sql");
    let (after_id, after_time) = Cursor::by_time(after)?;
    let filter = filter.json()?;
    let params: [&(dyn ToSql + Sync); 6] =
        [&filter, &state, &size.wanted(), &size.read(), &after_id, &after_time];
    page(&session.query(sql, &params).await?, size)
}

/// Finds the ids of the latest dead letters, whatever their state is.
pub(super) async fn find_any(
    session: &Session,
    filter: &LetterFilter,
    after: Option<&Cursor>,
    size: PageSize,
) -> anyhow::Result<Page<i64>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/find_any.sql");
    let (filter, after) = (filter.json()?, Cursor::by_id(after)?);
    let params: [&(dyn ToSql + Sync); 4] = [&filter, &after, &size.wanted(), &size.read()];
    page(&session.query(sql, &params).await?, size)
}

fn page(rows: &[Row], size: PageSize) -> anyhow::Result<Page<i64>> {
    Page::read_with(rows, size, |row| Ok(row.try_get("id")?))
}

/// Returns a page of what people did, the latest first; `dead_letter`: only to this one.
pub(super) async fn list_audit(
    session: &Session,
    filter: &AuditFilter,
    dead_letter: Option<i64>,
    after: Option<&Cursor>,
    size: PageSize,
) -> anyhow::Result<Page<AuditEntry>> {
    let sql = include_str!("../../../../sql/dead-letters/commands/list_audit.sql");
    let AuditFilter { actor, action, operation_id, since, until } = filter;
    let params: [&(dyn ToSql + Sync); 9] = [
        actor,
        action,
        &size.wanted(),
        &dead_letter,
        &Cursor::by_id(after)?,
        &size.read(),
        since,
        until,
        operation_id,
    ];
    Page::read(&session.query(sql, &params).await?, size)
}
