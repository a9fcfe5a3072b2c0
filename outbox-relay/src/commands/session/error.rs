//! Database errors as sentences that say what to do.

use std::fmt;
use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;
use service_kit::postgres;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::group_role::group_role;
use crate::commands::outcome::Unavailable;
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

/// The database refuses a statement over the rows that it changes: a foreign key, a trigger, a
/// constraint. Other rows may be changed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::commands) struct RowsRefused(pub(in crate::commands) String);

/// The classes of SQLSTATE that are about rows: data exceptions, integrity constraints, WITH CHECK
/// OPTION, limits on sizes, and exceptions of PL/pgSQL
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const ABOUT_ROWS: [&str; 5] = ["22", "23", "44", "54", "P0"];

/// The class of `SQLSTATE`s about a server without space, memory or connections.
const NO_RESOURCES: &str = "53";

/// The statement that failed.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Failed<'a> {
    /// The command that it is part of.
    pub(in crate::commands) command: &'a str,
    /// The role that the command's session began with.
    pub(in crate::commands) role: &'a str,
    /// The role that its transactions took instead, and the setting that names it.
    pub(in crate::commands) taken: Option<(&'a str, &'static str)>,
    /// How long it was allowed to take.
    pub(in crate::commands) limit: Duration,
}

impl Failed<'_> {
    /// Says that the command takes the role `needed`, and how it can have it. `command` is its name
    /// in the sentence.
    pub(in crate::commands) fn needs(&self, command: &str, needed: &str) -> String {
        match self.taken {
            Some((taken, _)) if taken == needed => {
                format!("{command} takes the role {needed} of this release")
            }
            Some((taken, setting)) => format!(
                "{command} takes the role {needed}, and {setting} (or --role) is {taken}, which lacks it"
            ),
            None => format!(
                "{command} takes the role {needed}, which {} lacks. {}",
                self.role,
                grant(needed, self.role)
            ),
        }
    }
}

/// Says how `role` becomes a member of `needed`, as it stands in SQL.
fn grant(needed: &str, role: &str) -> String {
    format!("As a superuser or an administrator of {needed}:\nGRANT {needed} TO {};", quoted(role))
}

/// A role's name in SQL.
fn quoted(role: &str) -> String {
    format!("\"{}\"", role.replace('"', "\"\""))
}

/// The login can't take the role that `setting` names.
pub(super) fn no_member(login: &str, taken: &str, setting: &str) -> anyhow::Error {
    let grant = grant(&quoted(taken), login);
    anyhow!("{setting} (or --role) is {taken}, of which {login} is no member. {grant}")
}

/// Explains why a statement on the outbox failed.
pub(super) fn explain(error: &Error, table: &OutboxTable, failed: Failed<'_>) -> anyhow::Error {
    let reason = postgres::reason(error);
    if error.code() == Some(&SqlState::CHECK_VIOLATION) && refuses_action(error, table) {
        return anyhow!(
            "the database refuses: {reason}. The audit table of an older release does not know this action: \
             `outbox-relay check` prints the ALTER TABLE"
        );
    }
    match error.code() {
        Some(&SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME) => anyhow!(
            "{reason}: add the outbox with `outbox-relay schema | psql \"$DATABASE_URL\"`, or name it in OUTBOX_TABLE \
             (it is {table} now)"
        ),
        Some(&SqlState::UNDEFINED_COLUMN | &SqlState::DATATYPE_MISMATCH) => {
            anyhow!("{table} is no outbox ({reason}): `outbox-relay check` says what is wrong")
        }
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => not_allowed(&reason, failed),
        Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => anyhow!(
            "the database takes no writes any more ({reason}): `outbox-relay check` says why"
        ),
        _ => explain_any(error, failed.limit),
    }
}

/// Explains why a statement failed that no remedy of certain tables is known for.
pub(in crate::commands) fn explain_any(error: &Error, limit: Duration) -> anyhow::Error {
    let reason = postgres::reason(error);
    let Some(code) = error.code() else {
        return Unavailable(format!("the database does not answer: {reason}")).into();
    };
    match *code {
        SqlState::QUERY_CANCELED => too_slow(limit),
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => {
            Unavailable(format!("the database goes away: {reason}")).into()
        }
        _ if code.code().starts_with(NO_RESOURCES) => {
            Unavailable(format!("the database refuses: {reason}")).into()
        }
        _ if ABOUT_ROWS.iter().any(|class| code.code().starts_with(class)) => {
            RowsRefused(format!("the database refuses: {reason}")).into()
        }
        _ => anyhow!("the database refuses: {reason}"),
    }
}

/// The role lacks a privilege.
fn not_allowed(reason: &str, failed: Failed<'_>) -> anyhow::Error {
    let Some(needed) = group_role(failed.command) else {
        return anyhow!(
            "{reason}: `outbox-relay check` says what to grant, or use a role that may do more"
        );
    };
    let needs = failed.needs(failed.command, needed);
    anyhow!(
        "{reason}: {needs}\nWhere the role is missing, or of an older release: outbox-relay schema --roles | psql \"$DATABASE_URL\" -v ON_ERROR_STOP=1 --single-transaction"
    )
}

/// Whether a constraint of the audit table on the words for actions was violated.
fn refuses_action(error: &Error, table: &OutboxTable) -> bool {
    error.as_db_error().is_some_and(|error| {
        error.table() == Some(&format!("{}_audit", table.name()))
            && error.constraint().is_some_and(|name| name.contains("action"))
    })
}

/// A statement took longer than `limit`.
pub(super) fn too_slow(limit: Duration) -> anyhow::Error {
    let limit = humantime::format_duration(limit);
    Unavailable(format!("the database took longer than {limit}: ask for less, or raise --timeout"))
        .into()
}

/// A statement waited too long for a lock. `holder` has it: on a table, or else as another command
/// that adds audit rows; `tables` are what is locked otherwise.
pub(super) fn locked(holder: Option<&(Backend, Option<String>)>, tables: &str) -> anyhow::Error {
    let who = match holder {
        Some((backend, Some(table))) => format!("{backend} has {table} locked"),
        Some((backend, None)) => format!("{backend} is changing events"),
        None => format!("somebody has {tables} locked"),
    };
    anyhow!("{who}: nothing more was changed, try again when that transaction has ended")
}
