//! A database for request handlers: bounded waiting, and errors that say what a client can do.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::cancel::CANCEL_GRACE;
use super::checkout::{Access, Checkout};
use super::connection::Connection;
use super::error::{DatabaseError, classify};
use super::{Pool, PoolError};
use crate::postgres::transaction::{describe_transactions, record_transaction};

/// A database behind a pool. Clones share the pool.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
    limit: Duration,
    writes: TaskTracker,
}

impl Database {
    /// Creates a database on `pool`, where each statement may take `limit`.
    #[must_use]
    pub fn new(pool: Pool, limit: Duration) -> Self {
        describe_transactions();
        Self { pool, limit, writes: TaskTracker::new() }
    }

    /// Runs a read on its own connection for a limited time. The statement is cancelled when the
    /// time is over, or when the future is dropped. Metrics and errors show the read's `name`.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn read<T>(
        &self,
        name: &'static str,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, DatabaseError> {
        self.run(name, Access::Read, work).await
    }

    /// Runs a write on its own connection, and waits for a limited time. A write is never cancelled
    /// by the client: one that waits for a synchronous standby would be committed on this server
    /// only and reported as done. The server ends it at `statement_timeout`, unless it is already
    /// committing. Wrap it in [`finish`](Self::finish) if the caller may be dropped.
    ///
    /// # Errors
    /// See [`DatabaseError`].
    pub async fn write<T>(
        &self,
        name: &'static str,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, DatabaseError> {
        self.run(name, Access::Write, work).await
    }

    async fn run<T>(
        &self,
        name: &'static str,
        access: Access,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, DatabaseError> {
        let connection = self.pool.get().await.map_err(|error| match error {
            PoolError::Busy => DatabaseError::Busy,
            PoolError::Down(reason) => DatabaseError::Unavailable(reason),
        })?;
        let checkout = Checkout::new(access, connection, self.pool.connector());
        let started = Instant::now();
        let result = {
            let mut work = std::pin::pin!(work(checkout.connection()));
            if let Ok(result) = timeout(self.limit, &mut work).await {
                result
            } else {
                checkout.cancel_read();
                timeout(CANCEL_GRACE, work).await.map_err(|_| {
                    record_transaction(name, started.elapsed());
                    DatabaseError::Unavailable(format!("{name} got no answer in time"))
                })?
            }
        };
        record_transaction(name, started.elapsed());
        checkout.release(&result);
        result.map_err(|error| {
            if error.code() == Some(&SqlState::QUERY_CANCELED) {
                let limit = humantime::format_duration(self.limit);
                return DatabaseError::Unavailable(format!("{name} took longer than {limit}"));
            }
            classify(name, &error)
        })
    }

    /// Runs `writing` to its end in its own task, whether or not the caller is dropped: a client
    /// that disconnects must not leave a change half done, or its lock to the connection's next
    /// user.
    ///
    /// # Errors
    /// Those of `writing`; [`DatabaseError::Unavailable`] if the process ends first.
    ///
    /// # Panics
    /// If `writing` panics.
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

    /// Waits for unfinished writes and abandoned reads, then closes the pool. Later requests for a
    /// connection fail.
    pub async fn close(&self) {
        self.writes.close();
        self.writes.wait().await;
        self.pool.close();
        self.pool.connector().wait_for_tasks().await;
    }
}
