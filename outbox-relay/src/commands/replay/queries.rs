//! One function per statement of `replay`.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::selection::ReplaySelection;
use crate::commands::queries::{Attribution, Filter, ids};
use crate::commands::session::Session;

type Param<'a> = &'a (dyn ToSql + Sync);

/// Returns those of `event_ids` that are published.
pub(super) async fn find_published(
    session: &Session,
    event_ids: &[Uuid],
) -> anyhow::Result<Vec<Uuid>> {
    let sql = include_str!("../../../../sql/relay/commands/find_published.sql");
    ids(&session.query(sql, &[&event_ids]).await?)
}

/// Returns the number of selected events and the highest id.
pub(super) async fn count_published(
    session: &Session,
    selection: &ReplaySelection,
) -> anyhow::Result<(i64, i64)> {
    let sql = include_str!("../../../../sql/relay/commands/count_published.sql");
    let row = session.query_one(sql, &selection_params(&selection.above, selection)).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Loads a page. `limits`: the number of events, the bytes of all payloads, the bytes of one.
pub(super) async fn load_published(
    session: &Session,
    selection: &ReplaySelection,
    above: i64,
    limits: [i64; 3],
) -> anyhow::Result<Vec<Row>> {
    let sql = include_str!("../../../../sql/relay/commands/load_published.sql");
    let mut params = selection_params(&above, selection).to_vec();
    params.push(&selection.highest);
    params.extend(limits.iter().map(|limit| limit as Param<'_>));
    session.query(sql, &params).await
}

fn selection_params<'a>(above: &'a i64, selection: &'a ReplaySelection) -> [Param<'a>; 6] {
    let Filter { aggregate, event_type, since, until } = &selection.filter;
    [above, &selection.event_ids, aggregate, event_type, since, until]
}

/// Adds the audit row of a replay.
pub(super) async fn audit_replay(
    session: &Session,
    attribution: &Attribution,
    event_id: Option<Uuid>,
    detail: &str,
) -> anyhow::Result<()> {
    let sql = include_str!("../../../../sql/relay/commands/audit_replay.sql");
    let Attribution { actor, reason } = attribution;
    session.query_audited(sql, &[actor, reason, &event_id, &detail]).await.map(drop)
}
