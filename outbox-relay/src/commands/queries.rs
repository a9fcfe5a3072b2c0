//! One function per statement of `sql/relay/commands`: here those that look at events.

mod changes;
mod others;

use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};
use uuid::Uuid;

use super::selection::Filter;
use super::session::Session;
use crate::database::HiddenRows;
use crate::database::queries::BlockingPolicy;

pub(super) use changes::{
    Changed, discard, prepare_transaction, prune, retry_events, retry_matching, take_turn,
};
pub(super) use others::{
    Acknowledgement, find_holders, find_table_holders, watch_acknowledgements,
};

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
    holding: BlockingPolicy,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../sql/relay/commands/list_events.sql");
    let Filter { aggregate, event_type, since, .. } = filter;
    let most = i64::from(most);
    let BlockingPolicy { ordered, stuck_holds } = holding;
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
    holding: BlockingPolicy,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../sql/relay/commands/list_pending.sql");
    let Filter { aggregate, event_type, since, .. } = filter;
    let most = i64::from(most);
    let BlockingPolicy { ordered, stuck_holds } = holding;
    let params: [&(dyn ToSql + Sync); 7] =
        [&only_stuck, aggregate, event_type, since, &most, &ordered, &stuck_holds];
    let rows = session.query(sql, &params).await?;
    rows.iter().map(json).collect()
}

pub(super) async fn find_event<T: DeserializeOwned>(
    session: &Session,
    event_id: Uuid,
    holding: BlockingPolicy,
) -> anyhow::Result<Option<T>> {
    let sql = include_str!("../../../sql/relay/commands/find_event.sql");
    let BlockingPolicy { ordered, stuck_holds } = holding;
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

/// Those of some events that the broker has confirmed though their rows are pending.
pub(super) async fn find_confirmed(
    session: &Session,
    event_ids: &[Uuid],
) -> anyhow::Result<Vec<Uuid>> {
    let find = include_str!("../../../sql/relay/commands/find_unsettled.sql");
    if !session.query_one(find, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(Vec::new());
    }
    let sql = include_str!("../../../sql/relay/commands/find_confirmed.sql");
    ids(&session.query(sql, &[&event_ids]).await?)
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
