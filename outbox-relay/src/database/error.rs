//! Why the database did not do what it was asked.

use service_kit::postgres::{ReadOnly, Unanswered, reason};
use tokio_postgres::error::SqlState;

use super::HiddenRows;
use super::session::STATEMENT_LIMIT;

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// It said so, or the connection ended.
    #[error("{}", reason(.0))]
    Refused(#[from] tokio_postgres::Error),
    /// It can't be reached.
    #[error("{0:#}")]
    Unreachable(anyhow::Error),
    /// It says nothing at all.
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
    /// Nothing that is published could be noted.
    #[error("{0}")]
    ReadOnly(ReadOnly),
    /// Events would be left out, or sent again and again.
    #[error("{hidden}: {}", hidden.remedy(.table))]
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

    /// Whether the database refused what it may accept of other rows, as far as its answer tells. Its resources, its shutdown and its
    /// being read-only concern all rows alike.
    pub(crate) fn is_over_a_row(&self) -> bool {
        let Self::Refused(error) = self else {
            return false;
        };
        let of_all = ["08", "25", "53", "57P"];
        error.code().is_some_and(|code| !of_all.iter().any(|class| code.code().starts_with(class)))
    }

    /// The error, where it keeps every event from being settled. The loss of a session stays what it is.
    pub(crate) fn of_settling(self) -> Self {
        if self.is_refusal() { Self::CannotSettle(self.to_string()) } else { self }
    }

    /// Whether a statement was given up, as it took too long or waited for a lock, or as a person said so: the session goes on.
    pub(crate) fn is_given_up(&self) -> bool {
        let given_up = [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE];
        let Self::Refused(error) = self else {
            return false;
        };
        error.code().is_some_and(|code| given_up.contains(code))
    }
}

impl From<Unanswered> for DatabaseError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Refused(error) => Self::Refused(error),
            Unanswered::Late => Self::Silent,
        }
    }
}

impl DatabaseError {
    /// Whether what was read can be the cause, and not the session or the server as a whole: a statement that took too long, a limit that
    /// a value exceeds, one that is damaged or can't be said in UTF-8.
    pub(crate) fn is_over_contents(&self) -> bool {
        let Self::Refused(error) = self else {
            return false;
        };
        let code = error.code().map_or("", SqlState::code);
        code == SqlState::QUERY_CANCELED.code()
            || ["22", "53", "54", "58", "XX"].iter().any(|class| code.starts_with(class))
    }
}

/// The error, with a missing table or column told apart.
pub(crate) fn explain(error: tokio_postgres::Error) -> DatabaseError {
    let missing =
        [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INVALID_SCHEMA_NAME];
    match error.as_db_error() {
        Some(db) if missing.contains(db.code()) => DatabaseError::NoOutbox(db.message().to_owned()),
        _ => DatabaseError::Refused(error),
    }
}
