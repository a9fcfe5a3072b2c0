//! The statements that list events, and what people did, page by page. Each reads a bounded number of
//! rows.

use serde::de::DeserializeOwned;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Filter;
use crate::commands::paging::{CAUSE_LIMIT, Cursor, Page, PageSize};
use crate::commands::session::Session;
use crate::database::queries::BlockingPolicy;

/// Returns a page of events, the newest first.
pub(in crate::commands) async fn page_newest<T: DeserializeOwned>(
    session: &Session,
    only_published: bool,
    filter: &Filter,
    after: Option<&Cursor>,
    size: PageSize,
    BlockingPolicy { ordered, stuck_holds }: BlockingPolicy,
) -> anyhow::Result<Page<T>> {
    let sql = include_str!("../../../../sql/relay/commands/page_newest.sql");
    let (filter, after) = (filter.json()?, Cursor::by_id(after)?);
    let params: [&(dyn ToSql + Sync); 7] =
        [&filter, &after, &size.wanted(), &ordered, &stuck_holds, &size.read(), &only_published];
    Page::read(&session.query(sql, &params).await?, size)
}

/// Returns a page of pending events, the oldest first.
pub(in crate::commands) async fn page_pending<T: DeserializeOwned>(
    session: &Session,
    filter: &Filter,
    after: Option<&Cursor>,
    size: PageSize,
    BlockingPolicy { ordered, stuck_holds }: BlockingPolicy,
) -> anyhow::Result<Page<T>> {
    let sql = include_str!("../../../../sql/relay/commands/page_pending.sql");
    let (filter, after) = (filter.json()?, Cursor::by_id(after)?);
    let params: [&(dyn ToSql + Sync); 6] =
        [&filter, &after, &size.wanted(), &ordered, &stuck_holds, &size.read()];
    Page::read(&session.query(sql, &params).await?, size)
}

/// Pending events that are not due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum HeldBack {
    /// They failed, and wait for their next attempt.
    Waiting,
    /// They failed, and have no next attempt.
    Stuck,
    /// Their writer has set a time that has not come.
    Scheduled,
    /// Their writer has set no time.
    Parked,
}

impl HeldBack {
    const fn has_failed(self) -> bool {
        matches!(self, Self::Waiting | Self::Stuck)
    }

    const fn is_endless(self) -> bool {
        matches!(self, Self::Stuck | Self::Parked)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Stuck => "stuck",
            Self::Scheduled => "scheduled",
            Self::Parked => "parked",
        }
    }
}

/// Returns a page of events that are not due: those that have a time in its order, the others by id.
pub(in crate::commands) async fn page_held_back<T: DeserializeOwned>(
    session: &Session,
    state: HeldBack,
    filter: &Filter,
    after: Option<&Cursor>,
    size: PageSize,
    BlockingPolicy { ordered, stuck_holds }: BlockingPolicy,
) -> anyhow::Result<Page<T>> {
    let sql = include_str!("../../../../sql/relay/commands/page_held_back.sql");
    let (after_id, after_time) = if state.is_endless() {
        (Cursor::by_id(after)?, Some("infinity".to_owned()))
    } else {
        Cursor::by_time(after)?
    };
    let params: [&(dyn ToSql + Sync); 9] = [
        &filter.json()?,
        &after_id,
        &size.wanted(),
        &ordered,
        &stuck_holds,
        &size.read(),
        &after_time,
        &state.has_failed(),
        &state.is_endless(),
    ];
    let page = Page::read(&session.query(sql, &params).await?, size)?;
    Ok(if state.is_endless() { page.by_id() } else { page })
}

/// Returns a page of the failed events of the causes that `filter` names, the oldest first; `state`:
/// only those in it.
pub(in crate::commands) async fn page_by_cause<T: DeserializeOwned>(
    session: &Session,
    state: Option<HeldBack>,
    filter: &Filter,
    after: Option<&Cursor>,
    size: PageSize,
    BlockingPolicy { ordered, stuck_holds }: BlockingPolicy,
) -> anyhow::Result<Page<T>> {
    let sql = include_str!("../../../../sql/relay/commands/page_by_cause.sql");
    let (filter, after) = (filter.json()?, Cursor::by_id(after)?);
    let state = state.map(HeldBack::as_str);
    let params: [&(dyn ToSql + Sync); 8] = [
        &filter,
        &after,
        &size.wanted(),
        &ordered,
        &stuck_holds,
        &size.read(),
        &state,
        &CAUSE_LIMIT,
    ];
    Page::read(&session.query(sql, &params).await?, size)
}

/// Which rows of an audit table are listed; `None` admits any.
#[derive(Debug, Clone, Default)]
pub(in crate::commands) struct AuditFilter {
    pub(in crate::commands) actor: Option<String>,
    pub(in crate::commands) action: Option<String>,
    pub(in crate::commands) operation_id: Option<Uuid>,
    /// RFC 3339; at or after.
    pub(in crate::commands) since: Option<String>,
    /// Before.
    pub(in crate::commands) until: Option<String>,
}

/// Returns a page of what people did, the latest first; `event_id`: only to this event.
pub(in crate::commands) async fn list_audit<T: DeserializeOwned>(
    session: &Session,
    filter: &AuditFilter,
    event_id: Option<Uuid>,
    after: Option<&Cursor>,
    size: PageSize,
) -> anyhow::Result<Page<T>> {
    let sql = include_str!("../../../../sql/relay/commands/list_audit.sql");
    let AuditFilter { actor, action, operation_id, since, until } = filter;
    let params: [&(dyn ToSql + Sync); 9] = [
        actor,
        action,
        &size.wanted(),
        &event_id,
        &Cursor::by_id(after)?,
        &size.read(),
        since,
        until,
        operation_id,
    ];
    Page::read(&session.query(sql, &params).await?, size)
}
