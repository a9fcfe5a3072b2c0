//! One function per statement of `edit`.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::contents::Edit;
use crate::commands::queries::{Attribution, Changed};
use crate::commands::session::Session;
use crate::commands::session::decode::exact_text;
use crate::publish::event::Limits;

/// Fails unless the role may edit events.
pub(super) async fn probe_edit(session: &Session) -> anyhow::Result<()> {
    let sql = include_str!("../../../../sql/relay/commands/probe_edit.sql");
    session.query(sql, &[]).await.map(drop)
}

/// The contents of an event, as an editor shows them.
#[derive(Debug)]
pub(super) enum Texts {
    /// The event type, the headers and the payload, indented.
    Shown([String; 3]),
    TooLong,
    /// The contents hold bytes that are not UTF-8: an editor would replace them.
    NotUtf8,
}

/// The contents of an event, and their hash.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) texts: Texts,
    pub(super) digest: String,
}

/// Returns the contents of a pending event, which are too long with more than `longest` bytes. Of
/// what takes more than `stored` bytes on disk nothing is read.
pub(super) async fn find_contents(
    session: &Session,
    event_id: Uuid,
    longest: i64,
    stored: Option<i32>,
) -> anyhow::Result<Option<Contents>> {
    let sql = include_str!("../../../../sql/relay/commands/find_contents.sql");
    let rows = session.query(sql, &[&event_id, &longest, &stored]).await?;
    rows.first().map(contents).transpose()
}

fn contents(row: &Row) -> anyhow::Result<Contents> {
    let digest = row.try_get("digest")?;
    if !row.try_get::<_, bool>("is_short")? {
        return Ok(Contents { texts: Texts::TooLong, digest });
    }
    let [event_type, headers, payload] =
        ["event_type", "headers", "payload"].map(|column| exact_text(row, column));
    let texts = match (event_type?, headers?, payload?) {
        (Some(event_type), Some(headers), Some(payload)) => {
            Texts::Shown([event_type, headers, payload])
        }
        _ => Texts::NotUtf8,
    };
    Ok(Contents { texts, digest })
}

/// Returns the hash of the contents of a pending event, unless these take more than `stored` bytes
/// on disk.
pub(in crate::commands) async fn find_digest(
    session: &Session,
    event_id: Uuid,
    stored: Option<i32>,
) -> anyhow::Result<Option<String>> {
    Ok(find_contents(session, event_id, -1, stored).await?.map(|contents| contents.digest))
}

/// Returns the row of an event as it would be after the edit.
pub(super) async fn preview_edit(
    session: &Session,
    event_id: Uuid,
    edit: &Edit,
    limits: Limits,
) -> anyhow::Result<Option<Row>> {
    let sql = include_str!("../../../../sql/relay/commands/preview_edit.sql");
    let Edit { event_type, headers, payload, at } = edit;
    let params: [&(dyn ToSql + Sync); 7] =
        [&event_id, event_type, headers, payload, &limits.payload, &limits.headers, at];
    Ok(session.query(sql, &params).await?.into_iter().next())
}

/// Edits the event if the hash of its contents is `digest`, and nobody has it locked. `ids`: the
/// `event_id`, and the id of the operation.
pub(super) async fn edit(
    session: &Session,
    event_id: Uuid,
    edit: &Edit,
    digest: &str,
    retry: bool,
    attribution: &Attribution,
) -> anyhow::Result<Changed> {
    let sql = include_str!("../../../../sql/relay/commands/edit.sql");
    let Edit { event_type, headers, payload, at } = edit;
    let Attribution { actor, reason, operation_id } = attribution;
    let params: [&(dyn ToSql + Sync); 10] =
        [&event_id, event_type, headers, payload, &digest, &retry, actor, reason, operation_id, at];
    let rows = session.query_audited(sql, &params).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
