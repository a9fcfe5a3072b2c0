//! One function per statement of `sql/relay/commands`: here those that read events.
//!
//! `pages` holds the statements that list events page by page, `changes` those that change events,
//! `event` those about one event and its contents, `pauses` those about pauses, `backends` those
//! about other sessions. The statements of `check`, `replay` and `status` are in their own folders.

mod backends;
mod changes;
mod event;
mod filter;
mod pages;
mod pauses;

use std::time::Duration;

use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::session::decode::json;
use super::session::{Session, Tables};
use crate::database::HiddenRows;
use crate::database::queries::BlockingPolicy;

pub(super) use backends::{RelayProgress, find_lock_holders, list_relays, watch_relays};
pub(super) use changes::{
    Attribution, Changed, discard_events, find_matching, prune, retry_events,
};
pub(super) use event::{Contents, Payload, find_discarded, find_event, find_payload};
pub(super) use filter::{Candidates, Conditions, Filter};
pub(super) use pages::{
    AuditFilter, HeldBack, list_audit, page_by_cause, page_held_back, page_newest, page_pending,
};
pub(super) use pauses::{PauseEnd, PauseSelection, check_pauses, list_pauses, pause, resume};

/// An event by both of its ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventKey {
    pub(super) id: i64,
    pub(super) event_id: Uuid,
}

/// Returns at most `limit` events that match, in no order.
pub(super) async fn select_events(
    session: &Session,
    Conditions { filter, candidates }: &Conditions,
    limit: usize,
) -> anyhow::Result<Vec<EventKey>> {
    let sql = match candidates {
        Candidates::Pending => include_str!("../../../../sql/relay/commands/select_pending.sql"),
        Candidates::HeldBack | Candidates::Stuck => {
            include_str!("../../../../sql/relay/commands/select_held_back.sql")
        }
    };
    let only_stuck = *candidates == Candidates::Stuck;
    let (filter, limit) = (filter.json()?, i64::try_from(limit)?);
    keys(&session.query(sql, &[&filter, &only_stuck, &limit]).await?)
}

/// Returns the ids of those of `event_ids` that are in the outbox.
pub(super) async fn find_ids(
    session: &Session,
    event_ids: &[Uuid],
) -> anyhow::Result<Vec<EventKey>> {
    let sql = include_str!("../../../../sql/relay/commands/find_ids.sql");
    keys(&session.query(sql, &[&event_ids]).await?)
}

fn keys(rows: &[Row]) -> anyhow::Result<Vec<EventKey>> {
    let key = |row: &Row| Ok(EventKey { id: row.try_get(0)?, event_id: row.try_get(1)? });
    rows.iter().map(key).collect()
}

/// Returns the rows that row-level security hides; `deletes`: whether DELETE counts too.
pub(super) async fn find_hidden_rows(
    session: &Session,
    deletes: bool,
) -> anyhow::Result<Option<HiddenRows>> {
    let sql = include_str!("../../../../sql/relay/queries/find_hidden_rows.sql");
    Ok(HiddenRows::read(&session.query(sql, &[&deletes]).await?)?)
}

/// Returns the time `age` ago by the database's clock.
pub(super) async fn ago<T: Tables>(
    session: &Session<T>,
    age: Duration,
) -> anyhow::Result<OffsetDateTime> {
    let sql = include_str!("../../../../sql/relay/commands/ago.sql");
    Ok(session.query_one(sql, &[&age.as_secs_f64()]).await?.try_get(0)?)
}

pub(super) async fn list_events<T: DeserializeOwned>(
    session: &Session,
    only_published: bool,
    filter: &Filter,
    limit: u32,
    holding: BlockingPolicy,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../../sql/relay/commands/list_events.sql");
    let (filter, limit) = (filter.json()?, i64::from(limit));
    let BlockingPolicy { ordered, stuck_holds } = holding;
    let params: [&(dyn ToSql + Sync); 5] =
        [&filter, &only_published, &limit, &ordered, &stuck_holds];
    let rows = session.query(sql, &params).await?;
    rows.iter().map(json).collect()
}

pub(super) async fn find_audit<T: DeserializeOwned>(
    session: &Session,
    event_id: Uuid,
    limit: i64,
    longest_detail: Option<i32>,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../../sql/relay/commands/find_audit.sql");
    session.query(sql, &[&event_id, &limit, &longest_detail]).await?.iter().map(json).collect()
}

/// Returns those of `event_ids` that the broker has confirmed although their rows are pending.
pub(super) async fn find_unsettled_published(
    session: &Session,
    event_ids: &[Uuid],
) -> anyhow::Result<Vec<Uuid>> {
    if !can_read_unsettled(session).await? {
        return Ok(Vec::new());
    }
    let sql = include_str!("../../../../sql/relay/commands/find_unsettled_published.sql");
    ids(&session.query(sql, &[&event_ids]).await?)
}

/// The state of an event in the outbox.
#[derive(Debug)]
pub(super) struct EventState {
    pub(super) published_at: Option<String>,
    /// It waits for its next attempt or is stuck.
    pub(super) held_back: bool,
}

/// Returns the states of those of `event_ids` that are in the outbox.
pub(super) async fn find_event_states(
    session: &Session,
    event_ids: &[Uuid],
) -> anyhow::Result<Vec<(Uuid, EventState)>> {
    let sql = include_str!("../../../../sql/relay/commands/find_event_states.sql");
    let rows = session.query(sql, &[&event_ids]).await?;
    rows.iter()
        .map(|row| {
            let state = EventState { published_at: row.try_get(1)?, held_back: row.try_get(2)? };
            Ok((row.try_get(0)?, state))
        })
        .collect()
}

/// Returns false if an older schema has no table of unsettled events, or the role may not read it.
pub(super) async fn can_read_unsettled(session: &Session) -> anyhow::Result<bool> {
    let sql = include_str!("../../../../sql/relay/commands/can_read_unsettled.sql");
    Ok(session.query_one(sql, &[]).await?.try_get(0)?)
}

/// Returns the unsettled events by outcome and kind; none if the role can't read their table.
pub(super) async fn list_unsettled<T: DeserializeOwned>(
    session: &Session,
) -> anyhow::Result<Vec<T>> {
    if !can_read_unsettled(session).await? {
        return Ok(Vec::new());
    }
    let sql = include_str!("../../../../sql/relay/commands/list_unsettled.sql");
    session.query(sql, &[]).await?.iter().map(json).collect()
}

/// Returns the events that are published and can't be marked, by at most `most` reasons; none if the
/// role can't read their table.
pub(super) async fn group_unsettled<T: DeserializeOwned>(
    session: &Session,
    most: i64,
) -> anyhow::Result<Vec<T>> {
    if !can_read_unsettled(session).await? {
        return Ok(Vec::new());
    }
    let sql = include_str!("../../../../sql/relay/commands/group_unsettled.sql");
    session.query(sql, &[&most]).await?.iter().map(json).collect()
}

/// Returns failed events by cause and type, or those of one cause, the most frequent first: at most
/// `groups` groups, in which at most `most` events are counted together.
pub(super) async fn list_failures<T: DeserializeOwned>(
    session: &Session,
    fingerprint: Option<&str>,
    groups: i64,
    most: i64,
    wanted: i64,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../../sql/relay/commands/list_failures.sql");
    session.query(sql, &[&groups, &most, &wanted, &fingerprint]).await?.iter().map(json).collect()
}

/// Returns at most `limit` causes of events that were published in the last hour after somebody had
/// changed them, by the newest `audit_rows` rows of the audit table.
pub(super) async fn list_recovered<T: DeserializeOwned>(
    session: &Session,
    audit_rows: i64,
    fingerprint: Option<&str>,
    limit: i64,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../../sql/relay/commands/list_recovered.sql");
    session.query(sql, &[&audit_rows, &fingerprint, &limit]).await?.iter().map(json).collect()
}

/// Returns how many failed events have no cause, among at most `most` that are looked at, and
/// whether there may be more.
pub(super) async fn count_without_cause(
    session: &Session,
    most: i64,
) -> anyhow::Result<(i64, bool)> {
    let sql = include_str!("../../../../sql/relay/commands/count_without_cause.sql");
    let row = session.query_one(sql, &[&most]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Reads a column of UUIDs.
pub(super) fn ids(rows: &[Row]) -> anyhow::Result<Vec<Uuid>> {
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
