//! A pool that sheds load: whoever can't have a connection soon is told so, instead of queueing without bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use deadpool_postgres::{Manager, ManagerConfig, QueueMode, RecyclingMethod, Runtime, Timeouts};

use super::connection::Connection;
use super::hosts::Hosts;
use super::url::DatabaseUrl;
use crate::config::{limit, limit_or_none};

/// Settings of a pool.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct PoolArgs {
    /// Connections to the database that requests have between them at the most
    #[arg(long, env = "DATABASE_POOL_SIZE", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000), value_name = "N")]
    pub database_pool_size: u16,

    /// How long a request waits for a free connection; more than 16 times the pool's size never wait at once
    #[arg(long, env = "DATABASE_POOL_WAIT", default_value = "1s", value_parser = limit_or_none, value_name = "DURATION")]
    pub database_pool_wait: Duration,

    /// How long the database may take for one statement
    #[arg(long, env = "DATABASE_STATEMENT_TIMEOUT", default_value = "5s", value_parser = limit, value_name = "DURATION")]
    pub database_statement_timeout: Duration,

    /// Whether statements are prepared by name; behind a pooler in transaction mode only one that knows how to (PgBouncer 1.21 and
    /// later) can do that
    #[arg(long, env = "DATABASE_PREPARED_STATEMENTS", default_value = "auto", value_name = "WHEN")]
    pub database_prepared_statements: PreparedStatements,
}

impl PoolArgs {
    /// The same settings for a pool of `size` connections.
    #[must_use]
    pub const fn with_size(&self, size: u16) -> Self {
        Self { database_pool_size: size, ..*self }
    }
}

/// When statements are prepared by name, so that the server plans them once and not each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PreparedStatements {
    /// Unless a pooler stands before the database
    Auto,
    /// Always
    On,
    /// Never
    Off,
}

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
    hosts: Hosts,
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
        let hosts = Hosts::new(url, args)?;
        let manager = Manager::from_connect(
            config,
            hosts.clone(),
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
                create: Some(url.patience() + Duration::from_millis(100)),
                recycle: Some(Duration::from_secs(1)),
            })
            .build()?;
        Ok(Self { pool, hosts, waiting: Arc::default(), max_waiting: size * 16 })
    }

    /// A connection for one piece of work.
    ///
    /// # Errors
    /// [`PoolError::Busy`] when too many wait already or none came free in time, [`PoolError::Down`] when the
    /// database can't be reached.
    pub async fn get(&self) -> Result<Connection, PoolError> {
        let place = Place::take(&self.waiting);
        if place.taken > self.max_waiting {
            return Err(PoolError::Busy);
        }
        let object = self.pool.get().await.map_err(|error| match error {
            deadpool_postgres::PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => {
                PoolError::Busy
            }
            error @ (deadpool_postgres::PoolError::Backend(_)
            | deadpool_postgres::PoolError::Timeout(_)) => {
                PoolError::Down(self.hosts.unreached().unwrap_or_else(|| error.to_string()))
            }
            other => PoolError::Down(other.to_string()),
        })?;
        Ok(Connection::new(object, self.hosts.named()))
    }

    /// The hosts that its connections lead to.
    pub(super) const fn hosts(&self) -> &Hosts {
        &self.hosts
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
struct Place<'a> {
    waiting: &'a AtomicUsize,
    taken: usize,
}

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Self {
        Self { waiting, taken: waiting.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
