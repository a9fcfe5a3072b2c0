//! A pool that sheds load: whoever can't have a connection soon is told so, instead of queueing without bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args;
use deadpool_postgres::{
    Manager, ManagerConfig, Object, QueueMode, RecyclingMethod, Runtime, Timeouts,
};
use tokio_util::sync::CancellationToken;

use super::connect::reason;
use super::hosts::Hosts;
use super::url::DatabaseUrl;
use crate::config::{limit, limit_or_none};
use crate::health::Dependency;

const IN_USE: &str = "database_pool_connections_in_use";
const WAITING: &str = "database_pool_waiting";

/// Settings of a pool.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "PostgreSQL")]
pub struct PoolArgs {
    /// Connections to the database at the most
    #[arg(long, env = "DATABASE_POOL_SIZE", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000), value_name = "N")]
    pub database_pool_size: u16,

    /// How long a request waits for a free connection; more than 16 times the pool's size never wait at once
    #[arg(long, env = "DATABASE_POOL_WAIT", default_value = "1s", value_parser = limit_or_none, value_name = "DURATION")]
    pub database_pool_wait: Duration,

    /// How long the database may take for one statement
    #[arg(long, env = "DATABASE_STATEMENT_TIMEOUT", default_value = "5s", value_parser = limit, value_name = "DURATION")]
    pub database_statement_timeout: Duration,
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
        config.application_name(application_name);
        let limit = args.database_statement_timeout.as_millis();
        let options = config.get_options().map_or_else(String::new, |given| format!("{given} "));
        config.options(format!(
            "{options}-c statement_timeout={limit} -c idle_in_transaction_session_timeout={limit}"
        ));
        let hosts = Hosts::new(url)?;
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
    pub async fn get(&self) -> Result<Object, PoolError> {
        let place = Place::take(&self.waiting);
        if place.taken > self.max_waiting {
            return Err(PoolError::Busy);
        }
        self.pool.get().await.map_err(|error| match error {
            deadpool_postgres::PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => {
                PoolError::Busy
            }
            error @ (deadpool_postgres::PoolError::Backend(_)
            | deadpool_postgres::PoolError::Timeout(_)) => {
                PoolError::Down(self.hosts.unreached().unwrap_or_else(|| error.to_string()))
            }
            other => PoolError::Down(other.to_string()),
        })
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

/// Asks the database every second whether it answers, and reports it as `dependency`, until `shutdown`.
pub async fn watch(pool: Pool, dependency: Dependency, shutdown: CancellationToken) {
    metrics::describe_gauge!(IN_USE, "Connections of the pool that are in use");
    metrics::describe_gauge!(WAITING, "Requests that wait for a connection of the pool");
    let limit = Duration::from_secs(3);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => (),
        }
        let answer = tokio::select! {
            () = shutdown.cancelled() => return,
            answer = tokio::time::timeout(limit, ask(&pool)) => answer,
        };
        report(&dependency, answer.ok());
        let (in_use, waiting) = pool.load();
        metrics::gauge!(IN_USE).set(u32::try_from(in_use).unwrap_or(u32::MAX));
        metrics::gauge!(WAITING).set(u32::try_from(waiting).unwrap_or(u32::MAX));
    }
}

/// Reports what the database answered, or nothing when it did not in time.
fn report(dependency: &Dependency, answer: Option<Result<(), PoolError>>) {
    match answer {
        Some(Ok(())) => dependency.up(),
        // A pool may be busy because of much work, or because each of its connections waits for a dead server.
        Some(Err(PoolError::Busy)) => (),
        Some(Err(PoolError::Down(reason))) => dependency.down(reason),
        None => dependency.down("the database takes longer than 3 s to answer"),
    }
}

async fn ask(pool: &Pool) -> Result<(), PoolError> {
    let client = pool.get().await?;
    client.simple_query("").await.map(drop).map_err(|error| PoolError::Down(reason(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Health, Need};

    #[test]
    fn a_busy_pool_tells_nothing_about_the_database() {
        let health = Health::default();
        let dependency = health.dependency("postgresql", Need::Required);
        for (answer, ready) in [
            (Some(Err(PoolError::Busy)), false),
            (Some(Ok(())), true),
            (Some(Err(PoolError::Busy)), true),
            (Some(Err(PoolError::Down("gone".to_owned()))), false),
            (Some(Err(PoolError::Busy)), false),
            (Some(Ok(())), true),
            (None, false),
        ] {
            report(&dependency, answer);
            assert_eq!(health.is_ready(), ready);
        }
    }
}
