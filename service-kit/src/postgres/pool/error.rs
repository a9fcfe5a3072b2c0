//! What a client can do about the driver's errors.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::postgres::error::reason;

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

pub(super) fn classify(transaction: &str, error: &Error) -> DatabaseError {
    let text = format!("{transaction}: {}", reason(error));
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
pub(in crate::postgres) fn is_gone(error: &Error) -> bool {
    let Some(code) = error.code() else {
        return error.is_closed() || is_io(error);
    };
    // A statement that was canceled, by hand or by its time limit, would be canceled again.
    *code != SqlState::QUERY_CANCELED && matches!(code.code().get(..2), Some("08" | "57"))
}

fn is_io(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}
