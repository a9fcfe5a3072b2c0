//! One function per statement of `where` and `reconcile`.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::location::Held;
use crate::commands::queries::ids;
use crate::commands::session::Session;
use crate::commands::session::decode::json;
use crate::database::queries::BlockingPolicy;
use crate::publish::stage::Stage;

const ASK_RELAYS: &str = include_str!("../../../../sql/relay/commands/ask_relays.sql");

/// Returns at most `limit` events of an aggregate, the newest first: pending ones, and published ones
/// that are among the table's newest `rows` rows.
pub(super) async fn newest_of_aggregate(
    session: &Session,
    [aggregate_type, aggregate_id]: [&str; 2],
    limit: i64,
    rows: i64,
) -> anyhow::Result<Vec<Uuid>> {
    let sql = include_str!("../../../../sql/relay/commands/newest_of_aggregate.sql");
    ids(&session.query(sql, &[&aggregate_type, &aggregate_id, &limit, &rows]).await?)
}

/// Returns other events that the transaction of an event wrote, as far as they stand near it.
pub(super) async fn find_written_with(
    session: &Session,
    event_id: Uuid,
    limit: i64,
) -> anyhow::Result<Vec<Uuid>> {
    let sql = include_str!("../../../../sql/relay/commands/find_written_with.sql");
    ids(&session.query(sql, &[&event_id, &limit]).await?)
}

/// Returns which events an event holds back: at most `named` of them by their ids, counted among the
/// first `limit` pending ones behind it.
pub(super) async fn find_held(
    session: &Session,
    event_id: Uuid,
    BlockingPolicy { ordered, stuck_holds }: BlockingPolicy,
    [limit, named]: [i64; 2],
) -> anyhow::Result<Held> {
    let sql = include_str!("../../../../sql/relay/commands/find_held.sql");
    let params: [&(dyn ToSql + Sync); 5] = [&event_id, &ordered, &stuck_holds, &limit, &named];
    json(&session.query_one(sql, &params).await?)
}

/// Returns about how many rows the outbox has.
pub(super) async fn count_rows(session: &Session) -> anyhow::Result<i64> {
    let sql = include_str!("../../../../sql/relay/commands/count_rows.sql");
    Ok(session.query_one(sql, &[]).await?.try_get(0)?)
}

/// Returns which of the first `rows` rows above the id `above` were published within two times.
pub(super) async fn list_published_page<T: DeserializeOwned>(
    session: &Session,
    above: Option<i64>,
    rows: i64,
    [since, until]: &[String; 2],
) -> anyhow::Result<T> {
    let sql = include_str!("../../../../sql/relay/commands/list_published_page.sql");
    json(&session.query_one(sql, &[&above, &rows, since, until]).await?)
}

/// Asks, in a transaction that it begins, how far the relays with these pids have sent an event.
/// Returns their answers so far.
pub(super) async fn begin_asking(
    session: &mut Session,
    id: i64,
    pids: &[i32],
) -> anyhow::Result<HashMap<i32, Stage>> {
    answers(&session.begin(ASK_RELAYS, &[&id, &pids]).await?)
}

/// Goes on to ask in the open transaction.
pub(super) async fn go_on_asking(
    session: &mut Session,
    id: i64,
    pids: &[i32],
) -> anyhow::Result<HashMap<i32, Stage>> {
    answers(&session.query_open(ASK_RELAYS, &[&id, &pids]).await?)
}

fn answers(rows: &[Row]) -> anyhow::Result<HashMap<i32, Stage>> {
    let mut answers = HashMap::new();
    for row in rows {
        if let Some(stage) = Stage::from_lock_number(row.try_get(1)?) {
            answers.insert(row.try_get(0)?, stage);
        }
    }
    Ok(answers)
}
