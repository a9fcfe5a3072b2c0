//! Statements about other sessions: which locks they hold, and which changes the relays have seen.

use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::commands::session::decode::json;
use crate::commands::session::{Backend, Session};

/// Returns which sessions have which of `event_ids` locked. `groups`: look into locks that several
/// transactions share, too; the statement says when that fails.
pub(in crate::commands) async fn find_lock_holders(
    session: &Session,
    event_ids: &[Uuid],
    groups: bool,
) -> anyhow::Result<Vec<(Uuid, Backend)>> {
    let sql = include_str!("../../../../sql/relay/commands/find_lock_holders.sql");
    let rows = session.query(sql, &[&event_ids, &groups]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, Backend { pid: row.try_get(1)?, name: row.try_get(2)? })))
        .collect()
}

/// An active relay, and how far it has read the audit table.
#[derive(Debug)]
pub(in crate::commands) struct RelayProgress {
    pub(in crate::commands) pid: i32,
    pub(in crate::commands) name: Option<String>,
    /// Whether it reports which audit rows it has seen. Older releases do not.
    pub(in crate::commands) reports: bool,
    /// Whether it respects pauses. Older releases do not.
    pub(in crate::commands) respects_pauses: bool,
    /// Whether it has seen the audit row that was asked for, and all before it.
    pub(in crate::commands) has_seen: bool,
    /// The lower 31 bits of the ids of audit rows whose events it had sent before it saw them.
    pub(in crate::commands) in_flight: Vec<i64>,
}

/// Returns the active relays with their lanes.
pub(in crate::commands) async fn list_relays<T: DeserializeOwned>(
    session: &Session,
) -> anyhow::Result<Vec<T>> {
    let sql = include_str!("../../../../sql/relay/commands/list_relays.sql");
    session.query(sql, &[]).await?.iter().map(json).collect()
}

/// Returns the active relays and those in `known_pids`, with their progress up to `audit_id`.
pub(in crate::commands) async fn watch_relays(
    session: &Session,
    audit_id: i64,
    known_pids: &[i32],
) -> anyhow::Result<Vec<RelayProgress>> {
    let sql = include_str!("../../../../sql/relay/commands/watch_relays.sql");
    let rows = session.query(sql, &[&audit_id, &known_pids]).await?;
    rows.iter()
        .map(|row| {
            Ok(RelayProgress {
                pid: row.try_get(0)?,
                name: row.try_get(1)?,
                reports: row.try_get(2)?,
                has_seen: row.try_get(3)?,
                in_flight: row.try_get(4)?,
                respects_pauses: row.try_get(5)?,
            })
        })
        .collect()
}
