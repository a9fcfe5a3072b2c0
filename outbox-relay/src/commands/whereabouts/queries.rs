//! One function per statement of `where` and `reconcile`.

use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::commands::queries::ids;
use crate::commands::session::Session;
use crate::commands::session::decode::json;

/// Returns other events that the transaction of an event wrote, as far as they stand near it.
pub(super) async fn find_written_with(
    session: &Session,
    event_id: Uuid,
    limit: i64,
) -> anyhow::Result<Vec<Uuid>> {
    let sql = include_str!("../../../../sql/relay/commands/find_written_with.sql");
    ids(&session.query(sql, &[&event_id, &limit]).await?)
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
