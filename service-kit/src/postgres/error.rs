//! Errors of the driver: their text for the log, and what a client can do about them.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Why a database operation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DatabaseError {
    /// Too many requests wait for a connection.
    #[error("every connection to the database is in use")]
    Busy,
    /// The database does not answer, or not now. A retry may succeed. The change may have been made
    /// nevertheless.
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    /// The database's encoding lacks a character of the input.
    #[error("the database's encoding does not have a character of what was sent: {0}")]
    Unstorable(String),
    /// The server rejected the statement. A retry would fail as well.
    #[error("the database refuses: {0}")]
    Refused(String),
}

/// Returns the text of a driver's error for the log: no SQL values, no password.
#[must_use]
pub fn reason(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    error_chain(error)
}

/// Returns an error and its sources in one line.
pub(super) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

pub(super) fn classify(error: &Error) -> DatabaseError {
    let text = reason(error);
    let Some(code) = error.code() else {
        // Not from the server: the connection was lost, or (a bug) a value did not fit its column.
        return if error.is_closed() || is_io(error) {
            DatabaseError::Unavailable(text)
        } else {
            DatabaseError::Refused(text)
        };
    };
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    let class = code.code().get(..2).unwrap_or_default();
    let is_transient = matches!(class, "08" | "40" | "53" | "57" | "58")
        || [
            // A standby that is not promoted yet.
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::LOCK_NOT_AVAILABLE,
            // Not migrated yet.
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
        ]
        .contains(code);
    if *code == SqlState::UNTRANSLATABLE_CHARACTER {
        return DatabaseError::Unstorable(text);
    }
    if is_transient { DatabaseError::Unavailable(text) } else { DatabaseError::Refused(text) }
}

pub(super) fn is_read_only(error: &Error) -> bool {
    error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}

/// Returns true if the connection or the server is gone; the statement is not the cause.
pub(super) fn is_gone(error: &Error) -> bool {
    let Some(code) = error.code() else {
        return error.is_closed() || is_io(error);
    };
    // A statement that was canceled, by hand or by its time limit, would be canceled again.
    *code != SqlState::QUERY_CANCELED && matches!(code.code().get(..2), Some("08" | "57"))
}

fn is_io(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}
