//! Statements that change events.

use anyhow::Context as _;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Filter;
use crate::commands::session::Session;

/// What an audit row records about the person.
#[derive(Debug, Clone)]
pub(in crate::commands) struct Attribution {
    pub(in crate::commands) actor: String,
    pub(in crate::commands) reason: Option<String>,
}

/// Changed events, each with the id of its audit row.
pub(in crate::commands) type Changed = Vec<(Uuid, i64)>;

pub(in crate::commands) async fn retry_events(
    session: &Session,
    event_ids: &[Uuid],
    attribution: &Attribution,
) -> anyhow::Result<Changed> {
    let sql = include_str!("../../../../sql/relay/commands/retry_events.sql");
    let Attribution { actor, reason } = attribution;
    changed(&session.query_audited(sql, &[&event_ids, actor, reason]).await?)
}

/// The result of [`retry_matching`].
#[derive(Debug)]
pub(in crate::commands) struct Retried {
    pub(in crate::commands) count: i64,
    /// The highest id that the statement read.
    pub(in crate::commands) highest: Option<i64>,
    /// The id of the latest audit row.
    pub(in crate::commands) audit_id: Option<i64>,
    /// Locked events.
    pub(in crate::commands) skipped: Vec<Uuid>,
}

/// Makes up to `limit` events due that match and have an id above `above`.
pub(in crate::commands) async fn retry_matching(
    session: &Session,
    above: i64,
    limit: i64,
    only_stuck: bool,
    filter: &Filter,
    attribution: &Attribution,
) -> anyhow::Result<Retried> {
    let sql = include_str!("../../../../sql/relay/commands/retry_matching.sql");
    let Filter { aggregate, event_type, .. } = filter;
    let Attribution { actor, reason } = attribution;
    let params: [&(dyn ToSql + Sync); 7] =
        [&above, &limit, &only_stuck, aggregate, event_type, actor, reason];
    let rows = session.query_audited(sql, &params).await?;
    let row = rows.first().context("the database answered without a row")?;
    Ok(Retried {
        count: row.try_get(0)?,
        highest: row.try_get(1)?,
        audit_id: row.try_get(2)?,
        skipped: row.try_get(3)?,
    })
}

pub(in crate::commands) async fn discard(
    session: &Session,
    event_ids: &[Uuid],
    attribution: &Attribution,
) -> anyhow::Result<Changed> {
    let sql = include_str!("../../../../sql/relay/commands/discard.sql");
    let Attribution { actor, reason } = attribution;
    changed(&session.query_audited(sql, &[&event_ids, actor, reason]).await?)
}

fn changed(rows: &[Row]) -> anyhow::Result<Changed> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The result of [`prune`].
#[derive(Debug)]
pub(in crate::commands) struct Pruned {
    /// How many rows the statement read.
    pub(in crate::commands) rows: i64,
    /// How many events it deleted, or would delete.
    pub(in crate::commands) count: i64,
    /// The highest id that it read.
    pub(in crate::commands) highest: Option<i64>,
    /// Events that are old enough and were not deleted.
    pub(in crate::commands) skipped: Vec<Uuid>,
}

/// Reads `rows` rows with an id above `above` and deletes, or only counts, the events among them
/// that were published before `before`.
pub(in crate::commands) async fn prune(
    session: &Session,
    above: i64,
    rows: i64,
    before: OffsetDateTime,
    only_count: bool,
) -> anyhow::Result<Pruned> {
    let sql = include_str!("../../../../sql/relay/commands/prune.sql");
    let row = session.query_one(sql, &[&above, &rows, &before, &only_count]).await?;
    Ok(Pruned {
        rows: row.try_get(0)?,
        count: row.try_get(1)?,
        highest: row.try_get(2)?,
        skipped: row.try_get(3)?,
    })
}
