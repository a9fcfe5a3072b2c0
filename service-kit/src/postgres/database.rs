//! A database as requests use it: bounded waiting, and failures sorted into what a client can do about them.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::cancel::CANCEL_GRACE;
use super::checkout::{Access, Checkout};
use super::connection::Connection;
use super::error::{DatabaseError, classify};
use super::pool::{Pool, PoolError};

/// A database behind a pool. Clones share the pool.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
    limit: Duration,
    writes: TaskTracker,
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
        self.run(Access::Read, work).await
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
        self.run(Access::Write, work).await
    }

    async fn run<T>(
        &self,
        access: Access,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, DatabaseError> {
        let connection = self.pool.get().await.map_err(|error| match error {
            PoolError::Busy => DatabaseError::Busy,
            PoolError::Down(reason) => DatabaseError::Unavailable(reason),
        })?;
        let checkout = Checkout::new(access, connection, self.pool.connector());
        let result = {
            let mut work = std::pin::pin!(work(checkout.connection()));
            if let Ok(result) = timeout(self.limit, &mut work).await {
                result
            } else {
                checkout.cancel_read();
                timeout(CANCEL_GRACE, work).await.map_err(|_| {
                    DatabaseError::Unavailable("a statement got no answer in time".to_owned())
                })?
            }
        };
        checkout.release(&result);
        result.map_err(|error| {
            if error.code() == Some(&SqlState::QUERY_CANCELED) {
                let limit = humantime::format_duration(self.limit);
                return DatabaseError::Unavailable(format!("a statement took longer than {limit}"));
            }
            classify(&error)
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
        self.pool.connector().wait_for_tasks().await;
    }
}
