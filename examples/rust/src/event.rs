//! An event, and why it could not be applied.

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// The relay's default envelope.
#[derive(Deserialize)]
pub struct ReceivedEvent {
    pub event_id: Uuid,
    pub event: String,
    pub data: Value,
}

/// Why an event was not applied.
#[derive(Debug)]
pub enum Failure {
    /// The event needs something that is not there yet, such as a row; the text says what.
    NotYet(String),
    /// The event is no JSON, or lacks a member: a retry does not mend that.
    Malformed(serde_json::Error),
    /// PostgreSQL refused it, or is down.
    Database(sqlx::Error),
    /// The service's own event can't be written as JSON; the text says why.
    OwnEvent(String),
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<outbox_writer::Error<sqlx::Error>> for Failure {
    fn from(error: outbox_writer::Error<sqlx::Error>) -> Self {
        match error {
            outbox_writer::Error::Database(error) => Self::Database(error),
            other => Self::OwnEvent(other.to_string()),
        }
    }
}

impl Failure {
    /// Returns true if another try may succeed. SQLSTATE class 22 (data exception) is a value that
    /// no column takes.
    pub fn can_retry(&self) -> bool {
        match self {
            Self::NotYet(_) => true,
            Self::Malformed(_) | Self::OwnEvent(_) => false,
            Self::Database(error) => !error
                .as_database_error()
                .and_then(|error| error.code())
                .is_some_and(|code| code.starts_with("22")),
        }
    }

    /// Returns the reason, for the header `x-reason`.
    pub fn reason(&self) -> String {
        match self {
            Self::NotYet(reason) | Self::OwnEvent(reason) => reason.clone(),
            Self::Malformed(error) => format!("malformed: {error}"),
            Self::Database(error) => error.to_string(),
        }
    }
}
