//! One function per statement of `sql/relay/commands`.

use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Error, Row};
use uuid::Uuid;

use super::holders::Holder;
use super::selection::Filter;
use super::session::Session;
use super::signature::Signature;
use crate::hidden::HiddenRows;
use crate::queries::Holding;
use crate::table::OutboxTable;

pub(super) async fn prepare_transaction(client: &Client, limit: Duration) -> Result<(), Error> {
    let sql = include_str!("../../../sql/relay/commands/prepare_transaction.sql");
    client.query(sql, &[&limit.as_millis().to_string()]).await.map(drop)
}

pub(super) async fn take_turn(client: &Client, table: &OutboxTable) -> Result<(), Error> {
    let sql = table.fill_in(include_str!("../../../sql/relay/commands/take_turn.sql"));
    client.query(&sql, &[]).await.map(drop)
}

pub(super) async fn role(session: &Session) -> anyhow::Result<String> {
    text(
        &session.query_one(include_str!("../../../sql/relay/commands/role.sql"), &[]).await?,
        "role",
    )
}

/// `deletes`: whether the role has to delete.
pub(super) async fn find_hidden_rows(
    session: &Session,
    deletes: bool,
) -> anyhow::Result<Option<HiddenRows>> {
    let sql = include_str!("../../../sql/relay/queries/find_hidden_rows.sql");
    Ok(HiddenRows::read(&session.query(sql, &[&deletes]).await?)?)
}

pub(super) async fn ago(session: &Session, span: Duration) -> anyhow::Result<OffsetDateTime> {
    let sql = include_str!("../../../sql/relay/commands/ago.sql");
    Ok(session.query_one(sql, &[&span.as_secs_f64()]).await?.try_get(0)?)
}

pub(super) async fn list_events<T: DeserializeOwned>(
    session: &Session,
    only_published: bool,
    filter: &Filter,
    most: u32,
    holding: Holding,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../sql/relay/commands/list_events.sql");
    let Filter { aggregate, event_type, since, .. } = filter;
    let most = i64::from(most);
    let Holding { ordered, stuck_holds } = holding;
    let params: [&(dyn ToSql + Sync); 7] =
        [&only_published, aggregate, event_type, since, &most, &ordered, &stuck_holds];
    let rows = session.query(sql, &params).await?;
    rows.iter().map(json).collect()
}

pub(super) async fn list_pending<T: DeserializeOwned>(
    session: &Session,
    only_stuck: bool,
    filter: &Filter,
    most: u32,
    holding: Holding,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../sql/relay/commands/list_pending.sql");
    let Filter { aggregate, event_type, since, .. } = filter;
    let most = i64::from(most);
    let Holding { ordered, stuck_holds } = holding;
    let params: [&(dyn ToSql + Sync); 7] =
        [&only_stuck, aggregate, event_type, since, &most, &ordered, &stuck_holds];
    let rows = session.query(sql, &params).await?;
    rows.iter().map(json).collect()
}

pub(super) async fn find_event<T: DeserializeOwned>(
    session: &Session,
    event_id: Uuid,
    holding: Holding,
) -> anyhow::Result<Option<T>> {
    let sql = include_str!("../../../sql/relay/commands/find_event.sql");
    let Holding { ordered, stuck_holds } = holding;
    session.query(sql, &[&event_id, &ordered, &stuck_holds]).await?.first().map(json).transpose()
}

/// A payload as the database wrote it.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) text: String,
    /// Whether there is more of it.
    pub(super) cut: bool,
    /// How long all of it is.
    pub(super) bytes: i64,
}

impl Payload {
    fn of(row: &Row) -> anyhow::Result<Self> {
        Ok(Self {
            text: text(row, "payload")?,
            cut: row.try_get("cut")?,
            bytes: row.try_get("bytes")?,
        })
    }
}

pub(super) async fn find_payload(
    session: &Session,
    event_id: Uuid,
    laid_out: Option<i32>,
) -> anyhow::Result<Option<Payload>> {
    let sql = include_str!("../../../sql/relay/commands/find_payload.sql");
    session.query(sql, &[&event_id, &laid_out]).await?.first().map(Payload::of).transpose()
}

pub(super) async fn find_discarded<T: DeserializeOwned>(
    session: &Session,
    event_id: Uuid,
    laid_out: Option<i32>,
) -> anyhow::Result<Option<(T, Payload)>> {
    let sql = include_str!("../../../sql/relay/commands/find_discarded.sql");
    let rows = session.query(sql, &[&event_id, &laid_out]).await?;
    rows.first().map(|row| Ok((json(row)?, Payload::of(row)?))).transpose()
}

pub(super) async fn find_audit<T: DeserializeOwned>(
    session: &Session,
    event_id: Uuid,
    most: i64,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../sql/relay/commands/find_audit.sql");
    session.query(sql, &[&event_id, &most]).await?.iter().map(json).collect()
}

pub(super) async fn backlog<T: DeserializeOwned>(
    session: &Session,
    most: i64,
) -> anyhow::Result<T> {
    let sql = include_str!("../../../sql/relay/commands/backlog.sql");
    json(&session.query_one(sql, &[&most]).await?)
}

/// None where the schema has no table for them, or the role may not look at it.
pub(super) async fn list_unsettled<T: DeserializeOwned>(
    session: &Session,
) -> anyhow::Result<Vec<T>> {
    let find = include_str!("../../../sql/relay/commands/find_unsettled.sql");
    if !session.query_one(find, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(Vec::new());
    }
    let sql = include_str!("../../../sql/relay/commands/list_unsettled.sql");
    session.query(sql, &[]).await?.iter().map(json).collect()
}

pub(super) async fn rate<T: DeserializeOwned>(
    session: &Session,
    below: Option<i64>,
    rows: i64,
) -> anyhow::Result<T> {
    let sql = include_str!("../../../sql/relay/commands/rate.sql");
    json(&session.query_one(sql, &[&below, &rows]).await?)
}

pub(super) async fn relays<T: DeserializeOwned>(session: &Session) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../sql/relay/commands/relays.sql");
    session.query(sql, &[]).await?.iter().map(json).collect()
}

/// What a person changed: the events, each with the id of its audit row.
pub(super) type Changed = Vec<(Uuid, i64)>;

pub(super) async fn retry_events(
    session: &Session,
    event_ids: &[Uuid],
    signature: &Signature,
) -> anyhow::Result<Changed> {
    let sql = include_str!("../../../sql/relay/commands/retry_events.sql");
    let Signature { actor, reason } = signature;
    changed(&session.change(sql, &[&event_ids, actor, reason]).await?)
}

/// What a statement of retrying did.
#[derive(Debug)]
pub(super) struct Retried {
    pub(super) count: i64,
    /// The highest id that it looked at.
    pub(super) highest: Option<i64>,
    pub(super) audit_id: Option<i64>,
    pub(super) left_out: Vec<Uuid>,
}

pub(super) async fn retry_matching(
    session: &Session,
    above: i64,
    most: i64,
    only_stuck: bool,
    filter: &Filter,
    signature: &Signature,
) -> anyhow::Result<Retried> {
    let sql = include_str!("../../../sql/relay/commands/retry_matching.sql");
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

/// What is known of an event that is there.
#[derive(Debug)]
pub(super) struct State {
    pub(super) published_at: Option<String>,
    /// It waits for its next attempt, or is stuck.
    pub(super) held_back: bool,
}

pub(super) async fn find_states(
    session: &Session,
    event_ids: &[Uuid],
) -> anyhow::Result<Vec<(Uuid, State)>> {
    let sql = include_str!("../../../sql/relay/commands/find_states.sql");
    let rows = session.query(sql, &[&event_ids]).await?;
    rows.iter()
        .map(|row| {
            let state = State { published_at: row.try_get(1)?, held_back: row.try_get(2)? };
            Ok((row.try_get(0)?, state))
        })
        .collect()
}

/// Who has which of some events locked. `groups`: also several at once, see the statement.
pub(super) async fn find_holders(
    session: &Session,
    event_ids: &[Uuid],
    groups: bool,
) -> anyhow::Result<Vec<(Uuid, Holder)>> {
    let sql = include_str!("../../../sql/relay/commands/find_holders.sql");
    let rows = session.query(sql, &[&event_ids, &groups]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, Holder { pid: row.try_get(1)?, name: row.try_get(2)? })))
        .collect()
}

/// Who has which table locked; no table: it has the commands' turn.
pub(super) async fn find_table_holders(
    session: &Session,
) -> anyhow::Result<Vec<(Holder, Option<String>)>> {
    let sql = include_str!("../../../sql/relay/commands/find_table_holders.sql");
    let rows = session.query(sql, &[]).await?;
    rows.iter()
        .map(|row| Ok((Holder { pid: row.try_get(0)?, name: row.try_get(1)? }, row.try_get(2)?)))
        .collect()
}

pub(super) async fn discard(
    session: &Session,
    event_ids: &[Uuid],
    signature: &Signature,
) -> anyhow::Result<Changed> {
    let sql = include_str!("../../../sql/relay/commands/discard.sql");
    let Signature { actor, reason } = signature;
    changed(&session.change(sql, &[&event_ids, actor, reason]).await?)
}

fn changed(rows: &[Row]) -> anyhow::Result<Changed> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// A relay at work, and what it says of an audit row.
#[derive(Debug)]
pub(super) struct Acknowledgement {
    pub(super) pid: i32,
    pub(super) name: Option<String>,
    /// Whether it says anything of audit rows.
    pub(super) has_said: bool,
    pub(super) confirmed: bool,
    /// The lower 31 bits of the ids of audit rows whose events it had sent before.
    pub(super) in_flight: Vec<i64>,
}

pub(super) async fn watch_acknowledgements(
    session: &Session,
    audit_id: i64,
    known: &[i32],
) -> anyhow::Result<Vec<Acknowledgement>> {
    let sql = include_str!("../../../sql/relay/commands/watch_acknowledgements.sql");
    let rows = session.query(sql, &[&audit_id, &known]).await?;
    rows.iter()
        .map(|row| {
            Ok(Acknowledgement {
                pid: row.try_get(0)?,
                name: row.try_get(1)?,
                has_said: row.try_get(2)?,
                confirmed: row.try_get(3)?,
                in_flight: row.try_get(4)?,
            })
        })
        .collect()
}

/// What a statement of pruning did.
#[derive(Debug)]
pub(super) struct Pruned {
    pub(super) looked_at: i64,
    pub(super) old: i64,
    pub(super) highest: Option<i64>,
    /// Old ones that are still there.
    pub(super) left_out: Vec<Uuid>,
}

pub(super) async fn prune(
    session: &Session,
    above: i64,
    rows: i64,
    before: OffsetDateTime,
    only_count: bool,
) -> anyhow::Result<Pruned> {
    let sql = include_str!("../../../sql/relay/commands/prune.sql");
    let row = session.query_one(sql, &[&above, &rows, &before, &only_count]).await?;
    Ok(Pruned {
        looked_at: row.try_get(0)?,
        old: row.try_get(1)?,
        highest: row.try_get(2)?,
        left_out: row.try_get(3)?,
    })
}

pub(super) fn ids(rows: &[Row]) -> anyhow::Result<Vec<Uuid>> {
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The JSON that a row consists of, or begins with.
fn json<T: DeserializeOwned>(row: &Row) -> anyhow::Result<T> {
    let Lossy(text) = row.try_get(0)?;
    serde_json::from_str(&text).context("the database answered with JSON that can't be read")
}

fn text(row: &Row, column: &str) -> anyhow::Result<String> {
    let Lossy(text) = row.try_get(column)?;
    Ok(text)
}

/// A text whose bytes need not be UTF-8, as in a database in `SQL_ASCII`: people must be able to look at such events too.
struct Lossy(String);

impl<'a> FromSql<'a> for Lossy {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(String::from_utf8_lossy(raw).into_owned()))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT
    }
}
