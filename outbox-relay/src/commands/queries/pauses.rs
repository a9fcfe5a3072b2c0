//! Statements about pauses.

use anyhow::{bail, ensure};
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;

use super::Attribution;
use crate::commands::session::Session;
use crate::commands::session::decode::json;
use crate::pauses::{MAX_PAUSES, Pause};

/// When a pause ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::commands) enum PauseEnd {
    /// When a person ends it.
    Never,
    /// So many seconds from now, by the database's clock.
    After(f64),
    At(OffsetDateTime),
}

/// Which pauses to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) enum PauseSelection {
    All,
    Ids(Vec<i64>),
    /// Those that name just that.
    Naming(Pause),
}

/// Returns whether the table of pauses exists, and which privileges the role lacks on it.
pub(in crate::commands) async fn check_pauses(
    session: &Session,
) -> anyhow::Result<(bool, Vec<String>)> {
    let sql = include_str!("../../../../sql/relay/commands/check_pauses.sql");
    let row = session.query_one(sql, &[]).await?;
    Ok((row.try_get("table_exists")?, row.try_get("missing")?))
}

async fn require_table(session: &Session) -> anyhow::Result<()> {
    let (exists, _) = check_pauses(session).await?;
    if !exists {
        let name = session.table().quoted("_pauses");
        bail!("the table {name} does not exist: `outbox-relay check` prints the SQL that adds it");
    }
    Ok(())
}

/// Adds a pause. Returns it, with the id of its audit row.
pub(in crate::commands) async fn pause<T: DeserializeOwned>(
    session: &Session,
    Pause { aggregate_type, aggregate_id, event_type }: &Pause,
    end: PauseEnd,
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<(T, i64)> {
    require_table(session).await?;
    let (seconds, time) = match end {
        PauseEnd::Never => (None, None),
        PauseEnd::After(seconds) => (Some(seconds), None),
        PauseEnd::At(time) => (None, Some(time)),
    };
    let sql = include_str!("../../../../sql/relay/commands/pause.sql");
    let params: [&(dyn ToSql + Sync); 9] = [
        aggregate_type,
        aggregate_id,
        event_type,
        &seconds,
        &time,
        actor,
        reason,
        &MAX_PAUSES,
        operation_id,
    ];
    let rows = session.query_audited(sql, &params).await?;
    let Some(row) = rows.first() else {
        if let Some(time) = time {
            let row =
                session.query_one("SELECT $1::timestamptz > now() AS is_later", &[&time]).await?;
            let is_later: bool = row.try_get("is_later")?;
            ensure!(
                is_later,
                "--until is a time in the past by the database's clock: name a later one"
            );
        }
        bail!(
            "{MAX_PAUSES} pauses are active, and no more may be: end some with `outbox-relay resume`"
        );
    };
    Ok((json(row)?, row.try_get("audit_id")?))
}

/// Ends pauses. Returns them, with the id of the latest audit row.
pub(in crate::commands) async fn resume<T: DeserializeOwned>(
    session: &Session,
    selection: &PauseSelection,
    Attribution { actor, reason, operation_id }: &Attribution,
) -> anyhow::Result<(Vec<T>, Option<i64>)> {
    require_table(session).await?;
    let any = Pause::default();
    let (ids, all, named) = match selection {
        PauseSelection::All => (None, true, &any),
        PauseSelection::Ids(ids) => (Some(ids), false, &any),
        PauseSelection::Naming(named) => (None, false, named),
    };
    let Pause { aggregate_type, aggregate_id, event_type } = named;
    let sql = include_str!("../../../../sql/relay/commands/resume.sql");
    let params: [&(dyn ToSql + Sync); 8] =
        [&ids, &all, aggregate_type, aggregate_id, event_type, actor, reason, operation_id];
    let rows = session.query_audited(sql, &params).await?;
    let audit_id = rows.first().map(|row| row.try_get("audit_id")).transpose()?;
    Ok((rows.iter().map(json).collect::<Result<_, _>>()?, audit_id))
}

/// Returns the active pauses; none if there is no table for them, or the role may not read it.
pub(in crate::commands) async fn list_pauses<T: DeserializeOwned>(
    session: &Session,
) -> anyhow::Result<Vec<T>> {
    let (exists, missing) = check_pauses(session).await?;
    if !exists || missing.iter().any(|privilege| privilege == "SELECT") {
        return Ok(Vec::new());
    }
    let sql = include_str!("../../../../sql/relay/commands/list_pauses.sql");
    session.query(sql, &[]).await?.iter().map(json).collect()
}
