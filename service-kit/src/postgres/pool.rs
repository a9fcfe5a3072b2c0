//! A pool that sheds load: whoever can't have a connection soon is told so, instead of queueing without bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, QueueMode, RecyclingMethod, Runtime, Timeouts};

use super::connection::Connection;
use super::connector::PoolConnector;
use super::pool_args::PoolArgs;
use super::url::DatabaseUrl;

/// Why there is no connection to be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PoolError {
    /// All connections are in use and enough others wait for one.
    #[error("every connection to the database is in use")]
    Busy,
    /// The database does not answer.
    #[error("the database does not answer: {0}")]
    Down(String),
}

/// A pool of connections. Clones share it.
#[derive(Debug, Clone)]
pub struct Pool {
    pool: deadpool_postgres::Pool,
    connector: PoolConnector,
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
}

impl Pool {
    /// A pool of connections to `url`, each made when it is needed.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new(url: &DatabaseUrl, args: &PoolArgs, application_name: &str) -> anyhow::Result<Self> {
        let mut config = url.config.clone();
        // Nothing else: a pooler refuses what it does not know.
        config.application_name(application_name);
        let connector = PoolConnector::new(url, args)?;
        let manager = Manager::from_connect(
            config,
            connector.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let size = usize::from(args.database_pool_size);
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(size)
            // The one used last is the next: its session has what it needs in its caches, and so has the processor.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(args.database_pool_wait),
                create: Some(url.total_connect_timeout() + Duration::from_millis(100)),
                recycle: Some(Duration::from_secs(1)),
            })
            .build()?;
        Ok(Self { pool, connector, waiting: Arc::default(), max_waiting: size * 16 })
    }

    /// A connection for one piece of work.
    ///
    /// # Errors
    /// [`PoolError::Busy`] when too many wait already or none came free in time, [`PoolError::Down`] when the
    /// database can't be reached.
    pub async fn get(&self) -> Result<Connection, PoolError> {
        let waiter = Waiter::enter(&self.waiting);
        if waiter.position > self.max_waiting {
            return Err(PoolError::Busy);
        }
        let object = self.pool.get().await.map_err(|error| match error {
            deadpool_postgres::PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => {
                PoolError::Busy
            }
            error @ (deadpool_postgres::PoolError::Backend(_)
            | deadpool_postgres::PoolError::Timeout(_)) => {
                PoolError::Down(self.connector.last_error().unwrap_or_else(|| error.to_string()))
            }
            other => PoolError::Down(other.to_string()),
        })?;
        Ok(Connection::new(object, self.connector.prepares_by_name()))
    }

    /// The hosts that its connections lead to.
    pub(super) const fn connector(&self) -> &PoolConnector {
        &self.connector
    }

    /// Connections in use, and requests that wait for one.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.waiting)
    }

    /// Gives the connections back to the server; whoever asks for one from now on is refused.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// A place in the queue for a connection, given up when dropped.
struct Waiter<'a> {
    waiting: &'a AtomicUsize,
    position: usize,
}

impl<'a> Waiter<'a> {
    fn enter(waiting: &'a AtomicUsize) -> Self {
        Self { waiting, position: waiting.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
