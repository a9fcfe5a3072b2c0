//! One function per statement of `status`.

use serde::de::DeserializeOwned;

use crate::commands::session::Session;
use crate::commands::session::decode::json;

/// Returns the numbers of pending, waiting, scheduled, stuck and parked events, each counted up to
/// `limit`, and the oldest pending event.
pub(super) async fn count_backlog<T: DeserializeOwned>(
    session: &Session,
    limit: i64,
) -> anyhow::Result<T> {
    let sql = include_str!("../../../../sql/relay/commands/count_backlog.sql");
    json(&session.query_one(sql, &[&limit]).await?)
}

/// Returns what was published in the last minute among the `rows` newest rows below the id `below`.
pub(super) async fn measure_rate<T: DeserializeOwned>(
    session: &Session,
    below: Option<i64>,
    rows: i64,
) -> anyhow::Result<T> {
    let sql = include_str!("../../../../sql/relay/commands/measure_rate.sql");
    json(&session.query_one(sql, &[&below, &rows]).await?)
}

/// Returns the id above which events are pending, which is at most `lowest`: where a run of pending
/// events reaches to.
pub(super) async fn skip_pending(session: &Session, lowest: i64) -> anyhow::Result<Option<i64>> {
    let sql = include_str!("../../../../sql/relay/commands/skip_pending.sql");
    Ok(session.query_one(sql, &[&lowest]).await?.try_get(0)?)
}
