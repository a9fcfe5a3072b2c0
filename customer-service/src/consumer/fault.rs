//! Whose fault a failed statement is.

use service_kit::postgres::reason;
use tokio_postgres::error::SqlState;

/// Why a transaction failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The database, or the way to it, can't be used now: no message is to blame.
    Database(String),
    /// Another transaction was in the way: the same again will do.
    Conflict(String),
    /// Somebody has a row locked, a customer's as a rule.
    Locked(String),
    /// It took too long, as a whole: less of it may do.
    TooSlow(String),
    /// Something in the transaction was refused.
    Message(String),
}

impl Fault {
    /// In words.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Database(reason)
            | Self::Conflict(reason)
            | Self::Locked(reason)
            | Self::TooSlow(reason)
            | Self::Message(reason) => reason,
        }
    }
}

/// Classes of SQLSTATE that say nothing about the data sent
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>): connection, feature not supported (a cached plan
/// after a migration), authorization, transaction state (read-only after a failover), prepared statements that vanished, unknown
/// database or schema, rights and missing tables, resources, not in prerequisite state, operator intervention, system, configuration.
const NOT_THE_MESSAGE: [&str; 14] =
    ["08", "0A", "0L", "25", "26", "28", "3D", "3F", "42", "53", "55", "57", "58", "F0"];

impl From<tokio_postgres::Error> for Fault {
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
            Some(code) if NOT_THE_MESSAGE.iter().any(|class| code.code().starts_with(class)) => {
                Self::Database(text)
            }
            Some(_) => Self::Message(text),
        }
    }
}
