//! The statements that change something, and what comes before them.

use std::time::Duration;

use anyhow::Context as _;
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row};
use uuid::Uuid;

use crate::commands::selection::Filter;
use crate::commands::session::Session;
use crate::commands::signature::Signature;
use crate::database::OutboxTable;

pub(in crate::commands) async fn prepare_transaction(
    client: &Client,
    limit: Duration,
) -> Result<(), Error> {
    let sql = include_str!("../../../../sql/relay/commands/prepare_transaction.sql");
    client.query(sql, &[&limit.as_millis().to_string()]).await.map(drop)
}

pub(in crate::commands) async fn take_turn(
    client: &Client,
    table: &OutboxTable,
) -> Result<(), Error> {
    let sql = table.fill_in(include_str!("../../../../sql/relay/commands/take_turn.sql"));
    client.query(&sql, &[]).await.map(drop)
}

/// What a person changed: the events, each with the id of its audit row.
pub(in crate::commands) type Changed = Vec<(Uuid, i64)>;

pub(in crate::commands) async fn retry_events(
    session: &Session,
    event_ids: &[Uuid],
    signature: &Signature,
) -> anyhow::Result<Changed> {
    let sql = include_str!("../../../../sql/relay/commands/retry_events.sql");
    let Signature { actor, reason } = signature;
    changed(&session.change(sql, &[&event_ids, actor, reason]).await?)
}

/// What a statement of retrying did.
#[derive(Debug)]
pub(in crate::commands) struct Retried {
    pub(in crate::commands) count: i64,
    /// The highest id that it looked at.
    pub(in crate::commands) highest: Option<i64>,
    pub(in crate::commands) audit_id: Option<i64>,
    pub(in crate::commands) left_out: Vec<Uuid>,
}

pub(in crate::commands) async fn retry_matching(
    session: &Session,
    above: i64,
    most: i64,
    only_stuck: bool,
    filter: &Filter,
    signature: &Signature,
) -> anyhow::Result<Retried> {
    let sql = include_str!("../../../../sql/relay/commands/retry_matching.sql");
    let Filter { aggregate, event_type, .. } = filter;
    let Signature { actor, reason } = signature;
    let params: [&(dyn ToSql + Sync); 7] =
        [&above, &most, &only_stuck, aggregate, event_type, actor, reason];
    let rows = session.change(sql, &params).await?;
    let row = rows.first().context("the database answered without a row")?;
    Ok(Retried {
        count: row.try_get(0)?,
        highest: row.try_get(1)?,
        audit_id: row.try_get(2)?,
        left_out: row.try_get(3)?,
    })
}

pub(in crate::commands) async fn discard(
    session: &Session,
    event_ids: &[Uuid],
    signature: &Signature,
) -> anyhow::Result<Changed> {
    let sql = include_str!("../../../../sql/relay/commands/discard.sql");
    let Signature { actor, reason } = signature;
    changed(&session.change(sql, &[&event_ids, actor, reason]).await?)
}

fn changed(rows: &[Row]) -> anyhow::Result<Changed> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// What a statement of pruning did.
#[derive(Debug)]
pub(in crate::commands) struct Pruned {
    pub(in crate::commands) looked_at: i64,
    pub(in crate::commands) old: i64,
    pub(in crate::commands) highest: Option<i64>,
    /// Old ones that are still there.
    pub(in crate::commands) left_out: Vec<Uuid>,
}

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
        looked_at: row.try_get(0)?,
        old: row.try_get(1)?,
        highest: row.try_get(2)?,
        left_out: row.try_get(3)?,
    })
}
