//! One function per statement of `replay`.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::selection::ReplaySelection;
use crate::commands::queries::{Attribution, ids};
use crate::commands::session::Session;

/// Returns those of `event_ids` that are published.
pub(super) async fn find_published(
    session: &Session,
    event_ids: &[Uuid],
) -> anyhow::Result<Vec<Uuid>> {
    let sql = include_str!("../../../../sql/relay/commands/find_published.sql");
    ids(&session.query(sql, &[&event_ids]).await?)
}

/// Returns the number of selected events, the highest id, and, for a filter, the time of the count.
pub(super) async fn count_published(
    session: &Session,
    selection: &ReplaySelection,
) -> anyhow::Result<(i64, i64, Option<String>)> {
    let sql = include_str!("../../../../sql/relay/commands/count_published.sql");
    let row = session.query_one(sql, &[&selection.filter.json()?, &selection.event_ids]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

/// Loads a page. `limits`: the number of events, the bytes of all payloads, the bytes of one.
pub(super) async fn load_published(
    session: &Session,
    selection: &ReplaySelection,
    above: i64,
    limits: [i64; 3],
) -> anyhow::Result<Vec<Row>> {
    let sql = include_str!("../../../../sql/relay/commands/load_published.sql");
    let filter = selection.filter.json()?;
    let [events, bytes, payload_bytes] = limits;
    let params: [&(dyn ToSql + Sync); 8] = [
        &filter,
        &selection.event_ids,
        &above,
        &selection.highest,
        &events,
        &bytes,
        &payload_bytes,
        &selection.counted_at,
    ];
    session.query(sql, &params).await
}

/// Adds the audit row of a replay.
pub(super) async fn audit_replay(
    session: &Session,
    attribution: &Attribution,
    event_id: Option<Uuid>,
    detail: &str,
) -> anyhow::Result<()> {
    let sql = include_str!("../../../../sql/relay/commands/audit_replay.sql");
    let Attribution { actor, reason, operation_id } = attribution;
    session.query_audited(sql, &[actor, reason, &event_id, &detail, operation_id]).await.map(drop)
}
