//! A database as requests use it: bounded waiting, and failures sorted into what a client can do about them.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::error::SqlState;

use super::connect::reason;
use super::pool::{Pool, PoolError};
use crate::http::{Problem, Refused};

/// How much longer than the server's own limit a statement is waited for. The server ends a slow statement by itself;
/// only one that hangs, or whose line is cut, gets here.
const MARGIN: Duration = Duration::from_secs(1);

/// A database behind a pool. Clones share the pool.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
    patience: Duration,
}

/// Why the database did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DatabaseError {
    /// Too many requests wait for a connection.
    #[error("every connection to the database is in use")]
    Busy,
    /// It does not answer, or not now: another try may succeed. What was asked may have been done all the same.
    #[error("the database does not answer: {0}")]
    Unavailable(String),
    /// It refuses; another try would be refused as well.
    #[error("the database refuses: {0}")]
    Refused(String),
}

impl Database {
    /// The database behind `pool`, whose server ends statements after `statement_timeout`.
    #[must_use]
    pub const fn new(pool: Pool, statement_timeout: Duration) -> Self {
        Self { pool, patience: statement_timeout.saturating_add(MARGIN) }
    }

    /// Does `work` with a connection of its own, for a bounded time.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&Object) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, DatabaseError> {
        let client = self.pool.get().await.map_err(|error| match error {
            PoolError::Busy => DatabaseError::Busy,
            PoolError::Down(reason) => DatabaseError::Unavailable(reason),
        })?;
        let done = tokio::time::timeout(self.patience, work(&client)).await;
        if let Ok(result) = done {
            if result.as_ref().is_err_and(is_read_only) {
                // The server may have been demoted: the next one may get a connection to the server that took over.
                drop(Object::take(client));
            }
            return result.map_err(|error| sort(&error));
        }
        // Whoever got this connection next would wait behind the statement: close it.
        drop(Object::take(client));
        Err(DatabaseError::Unavailable("a statement got no answer in time".to_owned()))
    }
}

fn sort(error: &tokio_postgres::Error) -> DatabaseError {
    let words = reason(error);
    let Some(code) = error.code() else {
        // Not the server's words: the line broke, or (a mistake of ours) a value did not fit its column.
        return if error.is_closed() || is_io(error) {
            DatabaseError::Unavailable(words)
        } else {
            DatabaseError::Refused(words)
        };
    };
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    let class = code.code().get(..2).unwrap_or_default();
    let passing = matches!(class, "08" | "40" | "53" | "57" | "58")
        || [
            // A standby that was not promoted yet.
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::LOCK_NOT_AVAILABLE,
            // Not migrated yet.
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
        ]
        .contains(code);
    if passing { DatabaseError::Unavailable(words) } else { DatabaseError::Refused(words) }
}

fn is_read_only(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}

/// Whether the connection or the server went away; the statement is not to blame.
pub(super) fn is_gone(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        return error.is_closed() || is_io(error);
    };
    // What was canceled, by hand or by its time limit, would be canceled again.
    *code != SqlState::QUERY_CANCELED && matches!(code.code().get(..2), Some("08" | "57"))
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        match &error {
            DatabaseError::Busy => {
                Self::unavailable("Too many requests at once; try again soon.", &error)
            }
            DatabaseError::Unavailable(_) => Self::unavailable(
                "The database does not answer; try again soon. A change that was asked for may have been made all the same.",
                &error,
            ),
            DatabaseError::Refused(_) => Self::internal(&error),
        }
    }
}

impl<S> From<DatabaseError> for Refused<S> {
    fn from(error: DatabaseError) -> Self {
        Problem::from(error).into()
    }
}
