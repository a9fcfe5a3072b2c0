//! One function per statement of `replay`.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::extent::Extent;
use crate::commands::queries::ids;
use crate::commands::selection::Filter;
use crate::commands::session::Session;
use crate::commands::signature::Signature;

type Param<'a> = &'a (dyn ToSql + Sync);

pub(super) async fn find_published(
    session: &Session,
    event_ids: &[Uuid],
) -> anyhow::Result<Vec<Uuid>> {
    let sql = include_str!("../../../../sql/relay/commands/find_published.sql");
    ids(&session.query(sql, &[&event_ids]).await?)
}

/// Returns how many, and the highest id.
pub(super) async fn count_published(
    session: &Session,
    extent: &Extent,
) -> anyhow::Result<(i64, i64)> {
    let sql = include_str!("../../../../sql/relay/commands/count_published.sql");
    let row = session.query_one(sql, &extent_params(&extent.above, extent)).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// `limits`: events, bytes of payload of all, bytes of one payload.
pub(super) async fn load_published(
    session: &Session,
    extent: &Extent,
    above: i64,
    limits: [i64; 3],
) -> anyhow::Result<Vec<Row>> {
    let sql = include_str!("../../../../sql/relay/commands/load_published.sql");
    let mut params = extent_params(&above, extent).to_vec();
    params.push(&extent.highest);
    params.extend(limits.iter().map(|limit| limit as Param<'_>));
    session.query(sql, &params).await
}

fn extent_params<'a>(above: &'a i64, extent: &'a Extent) -> [Param<'a>; 6] {
    let Filter { aggregate, event_type, since, until } = &extent.filter;
    [above, &extent.event_ids, aggregate, event_type, since, until]
}

pub(super) async fn note_replay(
    session: &Session,
    signature: &Signature,
    event_id: Option<Uuid>,
    detail: &str,
) -> anyhow::Result<()> {
    let sql = include_str!("../../../../sql/relay/commands/note_replay.sql");
    let Signature { actor, reason } = signature;
    session.change(sql, &[actor, reason, &event_id, &detail]).await.map(drop)
}
