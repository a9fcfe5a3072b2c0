//! One function per statement of `dead-letters edit`.

use tokio_postgres::types::ToSql;

use super::contents::LetterEdit;
use crate::commands::dead_letters::tables::Session;
use crate::commands::queries::Attribution;
use crate::commands::session::decode::text;

/// Fails unless the role may edit dead letters.
pub(super) async fn probe_edit(session: &Session) -> anyhow::Result<()> {
    let sql = include_str!("../../../../../sql/dead-letters/commands/probe_edit.sql");
    session.query(sql, &[]).await.map(drop)
}

/// The editable contents of a dead letter.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) state: String,
    /// A hash of the contents, to notice concurrent changes.
    pub(super) digest: String,
    /// Whether the contents are within the limit; if not, `body` is empty.
    pub(super) is_short: bool,
    pub(super) content_header: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// The size of the body in bytes.
    pub(super) body_size: i32,
    /// Indented JSON.
    pub(super) headers: String,
}

/// Returns the contents of a dead letter, without the body if they exceed `longest` bytes. Of one
/// whose body has more than `most` bytes nothing is read.
pub(super) async fn find_contents(
    session: &Session,
    id: i64,
    longest: i64,
    most: Option<i32>,
) -> anyhow::Result<Option<Contents>> {
    let sql = include_str!("../../../../../sql/dead-letters/commands/find_contents.sql");
    let rows = session.query(sql, &[&id, &longest, &most]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Contents {
        state: text(row, "state")?,
        digest: row.try_get("digest")?,
        is_short: row.try_get("is_short")?,
        content_header: row.try_get("content_header")?,
        body: row.try_get("body")?,
        body_size: row.try_get("bytes")?,
        headers: text(row, "headers")?,
    }))
}

/// Stores the edit if the dead letter is open, not locked, and its contents still hash to `digest`.
/// Returns whether it was stored.
pub(super) async fn edit(
    session: &Session,
    id: i64,
    edit: &LetterEdit,
    content_header: &[u8],
    digest: &str,
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<bool> {
    let sql = include_str!("../../../../../sql/dead-letters/commands/edit.sql");
    let set = serde_json::to_string(&edit.set)?;
    let replaced: Vec<&str> =
        edit.removed.iter().chain(edit.set.keys()).map(String::as_str).collect();
    let changed = edit.changed();
    let params: [&(dyn ToSql + Sync); 10] = [
        &id,
        actor,
        reason,
        operation_id,
        &digest,
        &edit.body,
        &content_header,
        &set,
        &replaced,
        &changed,
    ];
    Ok(!session.query_audited(sql, &params).await?.is_empty())
}
