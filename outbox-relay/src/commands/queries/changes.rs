//! Statements that change events.

use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Candidates, Conditions, EventKey, ids};
use crate::commands::session::Session;

/// What an audit row records about the person.
#[derive(Debug, Clone)]
pub(in crate::commands) struct Attribution {
    pub(in crate::commands) actor: String,
    pub(in crate::commands) reason: Option<String>,
    /// The same for all rows of one command.
    pub(in crate::commands) operation_id: Uuid,
}

/// Changed events, each with the id of its audit row.
pub(in crate::commands) type Changed = Vec<(Uuid, i64)>;

/// Returns those of `event_ids` that still meet the conditions.
pub(in crate::commands) async fn find_matching(
    session: &Session,
    Conditions { filter, candidates }: &Conditions,
    event_ids: &[Uuid],
) -> anyhow::Result<Vec<Uuid>> {
    let sql = include_str!("../../../../sql/relay/commands/find_matching.sql");
    let only_stuck = *candidates == Candidates::Stuck;
    let only_held_back = *candidates != Candidates::Pending;
    ids(&session.query(sql, &[&filter.json()?, &event_ids, &only_stuck, &only_held_back]).await?)
}

/// Makes those of `events` due that are held back and still meet the conditions.
pub(in crate::commands) async fn retry_events(
    session: &Session,
    conditions: &Conditions,
    events: &[EventKey],
    attribution: &Attribution,
) -> anyhow::Result<Changed> {
    let sql = include_str!("../../../../sql/relay/commands/retry_events.sql");
    change(session, sql, conditions, events, attribution).await
}

/// Deletes those of `events` that are pending and still meet the conditions.
pub(in crate::commands) async fn discard_events(
    session: &Session,
    conditions: &Conditions,
    events: &[EventKey],
    attribution: &Attribution,
) -> anyhow::Result<Changed> {
    let sql = include_str!("../../../../sql/relay/commands/discard_events.sql");
    change(session, sql, conditions, events, attribution).await
}

async fn change(
    session: &Session,
    sql: &str,
    Conditions { filter, candidates }: &Conditions,
    events: &[EventKey],
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<Changed> {
    let (filter, only_stuck) = (filter.json()?, *candidates == Candidates::Stuck);
    let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
    let event_ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let params: [&(dyn ToSql + Sync); 7] =
        [&filter, &ids, &event_ids, &only_stuck, actor, reason, operation_id];
    changed(&session.query_audited(sql, &params).await?)
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
