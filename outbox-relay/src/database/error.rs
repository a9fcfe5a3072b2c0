//! Errors of the database.

use std::time::Duration;

use service_kit::postgres::{BackendCheckError, ReadOnly, reason};
use tokio_postgres::error::SqlState;

use super::HiddenRows;

/// How long a statement may take before the session is given up: a little longer than the server's
/// own limit, so that a server that answers can say why.
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_secs(15);

/// Why a statement or a connection failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// The server refused the statement, or the connection ended.
    #[error("{}", reason(.0))]
    Refused(#[from] tokio_postgres::Error),
    /// The server can't be reached.
    #[error("{0:#}")]
    Unreachable(anyhow::Error),
    /// The server does not answer.
    #[error("the database does not answer within {} s", STATEMENT_LIMIT.as_secs())]
    Silent,
    /// The service that owns the database has not made the outbox yet, or made an older one.
    #[error(
        "the outbox is not there or not complete ({0}): start the service that owns it, or apply what `outbox-relay schema` prints"
    )]
    NoOutbox(String),
    /// No event at all can be settled.
    #[error("what became of events can't be noted in the outbox: {0}")]
    CannotSettle(String),
    /// There is no table for events that can't be settled.
    #[error(
        "the table outbox_unsettled is missing or may not be used: `outbox-relay check` says what mends that"
    )]
    NoUnsettledTable,
    /// The service that owns the database made a column otherwise.
    #[error("{0}: `outbox-relay check` says how to mend it")]
    WrongColumns(String),
    /// The database takes no writes: nothing could be settled.
    #[error("{0}")]
    ReadOnly(ReadOnly),
    /// Row-level security hides rows: events would be left out, or sent again and again.
    #[error("{hidden}: {}", hidden.fix(.table))]
    HiddenRows { hidden: HiddenRows, table: String },
    /// The session's locks are not there.
    #[error(
        "the database does not keep the session's locks: a pooler in transaction mode stands before it; name the server itself in DATABASE_URL, or a pool with pool_mode=session"
    )]
    LocksNotKept,
}

impl DatabaseError {
    /// Whether the database answered, and refused.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(error) if error.as_db_error().is_some())
    }

    /// Whether the database may accept the same of other rows, as far as its error code tells.
    /// Errors over resources, a shutdown or a read-only database concern all rows alike.
    pub(crate) fn is_over_a_row(&self) -> bool {
        let Self::Refused(error) = self else {
            return false;
        };
        let over_all_rows = ["08", "25", "53", "57P"];
        error
            .code()
            .is_some_and(|code| !over_all_rows.iter().any(|class| code.code().starts_with(class)))
    }

    /// The error as one that keeps every event from being settled. The loss of a session stays what
    /// it is.
    pub(crate) fn of_settling(self) -> Self {
        if self.is_refusal() { Self::CannotSettle(self.to_string()) } else { self }
    }

    /// Whether the server gave up the statement, as it took too long, waited for a lock, or was
    /// cancelled by a person: the session goes on.
    pub(crate) fn is_given_up(&self) -> bool {
        let given_up = [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE];
        let Self::Refused(error) = self else {
            return false;
        };
        error.code().is_some_and(|code| given_up.contains(code))
    }
}

impl From<BackendCheckError> for DatabaseError {
    fn from(error: BackendCheckError) -> Self {
        match error {
            BackendCheckError::Query(error) => Self::Refused(error),
            BackendCheckError::TimedOut => Self::Silent,
        }
    }
}

impl DatabaseError {
    /// Whether the rows that were read can be the cause, and not the session or the server as a
    /// whole: a statement took too long, a value exceeds a limit, is damaged or can't be converted
    /// to UTF-8.
    pub(crate) fn is_over_contents(&self) -> bool {
        let Self::Refused(error) = self else {
            return false;
        };
        let code = error.code().map_or("", SqlState::code);
        code == SqlState::QUERY_CANCELED.code()
            || ["22", "53", "54", "58", "XX"].iter().any(|class| code.starts_with(class))
    }
}

/// Converts the error; a missing table or column becomes [`DatabaseError::NoOutbox`].
pub(crate) fn explain(error: tokio_postgres::Error) -> DatabaseError {
    let missing =
        [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INVALID_SCHEMA_NAME];
    match error.as_db_error() {
        Some(db) if missing.contains(db.code()) => DatabaseError::NoOutbox(db.message().to_owned()),
        _ => DatabaseError::Refused(error),
    }
}
