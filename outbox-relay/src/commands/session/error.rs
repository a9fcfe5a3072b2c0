//! Database errors as sentences that say what to do.

use std::fmt;
use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;
use service_kit::postgres;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::commands::output::escape;
use crate::database::OutboxTable;

/// A server process of PostgreSQL, as error messages name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::commands) struct Backend {
    /// None for a prepared transaction, which belongs to no process.
    pub(in crate::commands) pid: Option<i32>,
    /// Its `application_name`, if the role may see it.
    pub(in crate::commands) name: Option<String>,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.name.as_deref().filter(|name| !name.is_empty())) {
            (Some(pid), Some(name)) => write!(f, "{} (pid {pid})", escape::line(name)),
            (Some(pid), None) => write!(f, "the session with pid {pid}"),
            (None, _) => f.write_str("a prepared transaction"),
        }
    }
}

/// Explains why a statement on `table` failed that was allowed to take `limit`.
pub(super) fn explain(error: &Error, table: &OutboxTable, limit: Duration) -> anyhow::Error {
    let reason = postgres::reason(error);
    let Some(code) = error.code() else {
        return anyhow!("the database does not answer: {reason}");
    };
    match *code {
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME => anyhow!(
            "{reason}: add the outbox with `outbox-relay schema | psql \"$DATABASE_URL\"`, or name it in OUTBOX_TABLE \
             (it is {table} now)"
        ),
        SqlState::UNDEFINED_COLUMN | SqlState::DATATYPE_MISMATCH => {
            anyhow!("{table} is no outbox ({reason}): `outbox-relay check` says what is wrong")
        }
        SqlState::INSUFFICIENT_PRIVILEGE => anyhow!(
            "{reason}: `outbox-relay check` says what to grant, or use a role that may do more"
        ),
        SqlState::QUERY_CANCELED => too_slow(limit),
        SqlState::READ_ONLY_SQL_TRANSACTION => anyhow!(
            "the database takes no writes any more ({reason}): `outbox-relay check` says why"
        ),
        _ => anyhow!("the database refuses: {reason}"),
    }
}

/// A statement took longer than `limit`.
pub(super) fn too_slow(limit: Duration) -> anyhow::Error {
    let limit = humantime::format_duration(limit);
    anyhow!("the database took longer than {limit}: ask for less, or raise --timeout")
}

/// A statement waited too long for a lock. `holder` has it: on a table, or else as another command
/// that adds audit rows.
pub(super) fn locked(holder: Option<&(Backend, Option<String>)>) -> anyhow::Error {
    let who = match holder {
        Some((backend, Some(table))) => format!("{backend} has {table} locked"),
        Some((backend, None)) => format!("{backend} is changing events"),
        None => "somebody has the outbox locked".to_owned(),
    };
    anyhow!("{who}: nothing more was changed, try again when that transaction has ended")
}
