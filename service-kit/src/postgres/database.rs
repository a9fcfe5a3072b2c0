//! A database as requests use it: bounded waiting, and failures sorted into what a client can do about them.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::connect::reason;
use super::connection::Connection;
use super::loan::{Loan, Purpose};
use super::pool::{Pool, PoolError};
use crate::http::{Problem, Refused};

/// How long a statement whose time is over is still waited for: what became of it when it was cancelled is told at once, unless the
/// server hangs or its line is cut.
pub(super) const MARGIN: Duration = Duration::from_secs(1);

/// A database behind a pool. Clones share the pool.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
    limit: Duration,
    writes: TaskTracker,
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
    /// It has no place for a character of what it was given.
    #[error("the database's encoding does not have a character of what was sent: {0}")]
    Unstorable(String),
    /// It refuses; another try would be refused as well.
    #[error("the database refuses: {0}")]
    Refused(String),
}

impl Database {
    /// The database behind `pool`, where each statement may take `limit`.
    #[must_use]
    pub fn new(pool: Pool, limit: Duration) -> Self {
        Self { pool, limit, writes: TaskTracker::new() }
    }

    /// Reads with a connection of its own, for a bounded time: then the statement is cancelled, as it is when the future is dropped.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, DatabaseError> {
        self.lend(Purpose::Reading, work).await
    }

    /// Writes with a connection of its own, and waits for a bounded time. A statement that writes is never cancelled from here: one that
    /// waits for a synchronous standby would be committed on this server alone, and said to be done. The server ends it when it is late
    /// (`statement_timeout`), unless it is about to be committed. Part of a [`finish`](Self::finish) where its caller may leave.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, DatabaseError> {
        self.lend(Purpose::Writing, work).await
    }

    async fn lend<T>(
        &self,
        purpose: Purpose,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, DatabaseError> {
        let connection = self.pool.get().await.map_err(|error| match error {
            PoolError::Busy => DatabaseError::Busy,
            PoolError::Down(reason) => DatabaseError::Unavailable(reason),
        })?;
        let loan = Loan::new(purpose, connection, self.pool.hosts());
        let result = {
            let mut working = std::pin::pin!(work(loan.connection()));
            if let Ok(result) = timeout(self.limit, &mut working).await {
                result
            } else {
                loan.end_statement();
                timeout(MARGIN, working).await.map_err(|_| {
                    DatabaseError::Unavailable("a statement got no answer in time".to_owned())
                })?
            }
        };
        loan.settle(&result);
        result.map_err(|error| {
            if error.code() == Some(&SqlState::QUERY_CANCELED) {
                let limit = humantime::format_duration(self.limit);
                return DatabaseError::Unavailable(format!("a statement took longer than {limit}"));
            }
            sort(&error)
        })
    }

    /// Sees `writing` through in a task of its own, whether or not somebody waits for it: a client that hangs up must not leave a
    /// change half way between done and undone, nor its lock to the next one.
    ///
    /// # Errors
    /// Those of `writing`; [`DatabaseError::Unavailable`] when the process ends before.
    ///
    /// # Panics
    /// When `writing` does.
    pub async fn finish<T, E>(
        &self,
        writing: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DatabaseError> + Send + 'static,
    {
        match self.writes.spawn(writing.in_current_span()).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => {
                    Err(DatabaseError::Unavailable("the process is stopping".to_owned()).into())
                }
            },
        }
    }

    /// Waits for what is being finished and for reads that are being given up, and gives the connections back to the server; whoever asks
    /// for one from now on is refused.
    pub async fn close(&self) {
        self.writes.close();
        self.writes.wait().await;
        self.pool.close();
        self.pool.hosts().settle().await;
    }
}

fn sort(error: &Error) -> DatabaseError {
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
    if *code == SqlState::UNTRANSLATABLE_CHARACTER {
        return DatabaseError::Unstorable(words);
    }
    if passing { DatabaseError::Unavailable(words) } else { DatabaseError::Refused(words) }
}

pub(super) fn is_read_only(error: &Error) -> bool {
    error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}

/// Whether the connection or the server went away; the statement is not to blame.
pub(super) fn is_gone(error: &Error) -> bool {
    let Some(code) = error.code() else {
        return error.is_closed() || is_io(error);
    };
    // What was canceled, by hand or by its time limit, would be canceled again.
    *code != SqlState::QUERY_CANCELED && matches!(code.code().get(..2), Some("08" | "57"))
}

fn is_io(error: &Error) -> bool {
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
            DatabaseError::Unstorable(_) => Self::invalid(vec![
                "the body holds a character that the database's encoding does not have".to_owned(),
            ]),
            DatabaseError::Refused(_) => Self::internal(&error),
        }
    }
}

impl<S> From<DatabaseError> for Refused<S> {
    fn from(error: DatabaseError) -> Self {
        Problem::from(error).into()
    }
}
