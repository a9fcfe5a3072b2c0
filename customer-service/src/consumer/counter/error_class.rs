//! Classifies the errors of a counting transaction by who caused them.

use service_kit::postgres::reason;
use tokio_postgres::error::SqlState;

/// Who caused a transaction to fail, and PostgreSQL's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// The database, or the connection to it: no event is to blame.
    Database(String),
    /// Another transaction (a deadlock, a serialization failure): the same transaction may succeed
    /// when it is tried again.
    Conflict(String),
    /// Another session has locked a row, usually a customer's.
    Locked(String),
    /// The transaction as a whole was too slow: a smaller one may succeed.
    TooSlow(String),
    /// One of its events, which the database refuses.
    Event(String),
}

impl ErrorClass {
    /// PostgreSQL's message.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Database(reason)
            | Self::Conflict(reason)
            | Self::Locked(reason)
            | Self::TooSlow(reason)
            | Self::Event(reason) => reason,
        }
    }
}

/// Classes of SQLSTATE that say nothing about the events
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>): connection, feature not
/// supported (a cached plan after a migration), authorization, transaction state (read-only after a
/// failover), prepared statements that are gone, unknown database or schema, privileges and missing
/// tables, resources, not in prerequisite state, operator intervention, system, configuration.
const DATABASE_CLASSES: [&str; 14] =
    ["08", "0A", "0L", "25", "26", "28", "3D", "3F", "42", "53", "55", "57", "58", "F0"];

impl From<tokio_postgres::Error> for ErrorClass {
    fn from(error: tokio_postgres::Error) -> Self {
        let text = reason(&error);
        match error.code() {
            None => Self::Database(text),
            Some(code)
                if *code == SqlState::T_R_SERIALIZATION_FAILURE
                    || *code == SqlState::T_R_DEADLOCK_DETECTED =>
            {
                Self::Conflict(text)
            }
            Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => Self::Locked(text),
            Some(code) if *code == SqlState::QUERY_CANCELED => Self::TooSlow(text),
            Some(code) if DATABASE_CLASSES.iter().any(|class| code.code().starts_with(class)) => {
                Self::Database(text)
            }
            Some(_) => Self::Event(text),
        }
    }
}
