//! A connection pool that sheds load: if no connection is available soon, a request fails instead
//! of queueing without bound.
//!
//! | file | what it does |
//! |---|---|
//! | `mod`, `args` | the pool and its settings |
//! | `connector`, `connection` | makes the pool's connections; one of them while a request has it |
//! | `database`, `checkout`, `cancel` | reads and writes with time limits, and what is cancelled after them |
//! | `error` | what a client can do about the driver's errors |
//! | `watch` | monitors the database |

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, QueueMode, RecyclingMethod, Runtime, Timeouts};

use crate::postgres::url::DatabaseUrl;
use connector::PoolConnector;

mod args;
mod cancel;
mod checkout;
mod connection;
mod connector;
mod database;
mod error;
mod watch;

pub use args::{PoolArgs, PreparedStatements};
pub use connection::{Connection, Parameter};
pub use database::Database;
pub use error::DatabaseError;
pub(super) use error::is_gone;
pub use watch::watch;

/// How many requests may wait, for each connection of the pool; further ones are refused.
const MAX_WAITING_PER_CONNECTION: usize = 16;

/// Why no connection is available.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PoolError {
    /// All connections are in use, and enough requests wait for one.
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
    /// Creates a pool of connections to `url`, which are opened on demand.
    ///
    /// # Errors
    /// If TLS can't be set up.
    pub fn new(url: &DatabaseUrl, args: &PoolArgs, application_name: &str) -> anyhow::Result<Self> {
        let mut config = url.config.clone();
        // No other startup parameters: a pooler rejects those that it does not know.
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
            // The connection used last comes first: the caches of its session, and of the CPU, are
            // warm.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(args.database_pool_wait),
                create: Some(connect_timeout(url) + Duration::from_millis(100)),
                recycle: Some(Duration::from_secs(1)),
            })
            .build()?;
        Ok(Self {
            pool,
            connector,
            waiting: Arc::default(),
            max_waiting: size * MAX_WAITING_PER_CONNECTION,
        })
    }

    /// Checks out a connection.
    ///
    /// # Errors
    /// [`PoolError::Busy`] if too many requests wait or no connection became free in time,
    /// [`PoolError::Down`] if the database can't be reached.
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

    /// Returns what opens the pool's connections.
    const fn connector(&self) -> &PoolConnector {
        &self.connector
    }

    /// Returns how many connections are in use, and how many requests wait for one.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.waiting)
    }

    /// Closes the pool and its connections. Later requests for a connection fail.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// A request that waits for a connection. Counted until dropped.
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

/// Returns the time limit for all hosts of `url` together.
fn connect_timeout(url: &DatabaseUrl) -> Duration {
    url.connect_timeout() * u32::try_from(url.hosts.len()).unwrap_or(u32::MAX)
}
