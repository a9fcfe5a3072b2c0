//! What other sessions do: who holds which lock, and what relays say of a change.

use uuid::Uuid;

use crate::commands::holders::Holder;
use crate::commands::session::Session;

/// Who has which of some events locked. `groups`: also several at once, see the statement.
pub(in crate::commands) async fn find_holders(
    session: &Session,
    event_ids: &[Uuid],
    groups: bool,
) -> anyhow::Result<Vec<(Uuid, Holder)>> {
    let sql = include_str!("../../../../sql/relay/commands/find_holders.sql");
    let rows = session.query(sql, &[&event_ids, &groups]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, Holder { pid: row.try_get(1)?, name: row.try_get(2)? })))
        .collect()
}

/// Who has which table locked; no table: it has the commands' turn.
pub(in crate::commands) async fn find_table_holders(
    session: &Session,
) -> anyhow::Result<Vec<(Holder, Option<String>)>> {
    let sql = include_str!("../../../../sql/relay/commands/find_table_holders.sql");
    let rows = session.query(sql, &[]).await?;
    rows.iter()
        .map(|row| Ok((Holder { pid: row.try_get(0)?, name: row.try_get(1)? }, row.try_get(2)?)))
        .collect()
}

/// A relay at work, and what it says of an audit row.
#[derive(Debug)]
pub(in crate::commands) struct Acknowledgement {
    pub(in crate::commands) pid: i32,
    pub(in crate::commands) name: Option<String>,
    /// Whether it says anything of audit rows.
    pub(in crate::commands) has_said: bool,
    pub(in crate::commands) confirmed: bool,
    /// The lower 31 bits of the ids of audit rows whose events it had sent before.
    pub(in crate::commands) in_flight: Vec<i64>,
}

pub(in crate::commands) async fn watch_acknowledgements(
    session: &Session,
    audit_id: i64,
    known: &[i32],
) -> anyhow::Result<Vec<Acknowledgement>> {
    let sql = include_str!("../../../../sql/relay/commands/watch_acknowledgements.sql");
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
