//! Opens the connections of a pool.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::Connect;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;

use super::args::{PoolArgs, PreparedStatements};
use super::cancel::{CANCEL_GRACE, cancel};
use crate::postgres::connect::spawn_driver;
use crate::postgres::multi_host::{ConnectError, HostFailure, Target, connect_first};
use crate::postgres::pooler::is_pooled;
use crate::postgres::url::DatabaseUrl;

/// The largest number of concurrent cancel requests, each of which takes a connection. Other
/// statements end by their own time limit.
const MAX_CANCEL_REQUESTS: usize = 64;

const PREPARE_SESSION: &str = include_str!("../../../../sql/pool/prepare_session.sql");

/// Connects a pool to the hosts of a URL. Clones share its state.
#[derive(Clone)]
pub(super) struct PoolConnector {
    url: DatabaseUrl,
    tls: MakeRustlsConnect,
    last_error: Arc<Mutex<Option<String>>>,
    statements: PreparedStatements,
    /// The server's time limit for a statement.
    limit: Duration,
    /// Permits for cancel requests.
    cancelling: Arc<Semaphore>,
    /// Cancel requests, and connections whose statements were abandoned.
    tasks: TaskTracker,
    /// Whether statements may be prepared by name. Cleared for good once a pooler is detected.
    by_name: Arc<AtomicBool>,
}

impl PoolConnector {
    pub(super) fn new(url: &DatabaseUrl, args: &PoolArgs) -> anyhow::Result<Self> {
        let statements = args.database_prepared_statements;
        Ok(Self {
            url: url.clone(),
            tls: url.tls.connector()?,
            last_error: Arc::default(),
            statements,
            limit: args.database_statement_timeout,
            cancelling: Arc::new(Semaphore::new(MAX_CANCEL_REQUESTS)),
            tasks: TaskTracker::new(),
            by_name: Arc::new(AtomicBool::new(statements != PreparedStatements::Off)),
        })
    }

    /// Returns true if statements may be prepared by name on every connection so far.
    pub(super) fn prepares_by_name(&self) -> bool {
        self.by_name.load(Ordering::Acquire)
    }

    /// Asks the server to cancel the statement in flight on this connection, if any. The server may
    /// do so some time later.
    pub(super) fn cancel(&self, client: &Client) {
        let Ok(permit) = Arc::clone(&self.cancelling).try_acquire_owned() else {
            tracing::debug!("a statement is not cancelled: many are being cancelled already");
            return;
        };
        let cancelling = cancel(client.cancel_token(), self.url.clone(), self.tls());
        self.spawn(async move {
            cancelling.await;
            drop(permit);
        });
    }

    /// Spawns a task that [`wait_for_tasks`](Self::wait_for_tasks) waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Without a runtime the process is about to end.
        if let Ok(runtime) = Handle::try_current() {
            self.tasks.spawn_on(task, &runtime);
        }
    }

    /// Waits a limited time until the abandoned statements have ended.
    pub(super) async fn wait_for_tasks(&self) {
        self.tasks.close();
        if timeout(CANCEL_GRACE * 2, self.tasks.wait()).await.is_err() {
            tracing::debug!("abandoned statements may still be running");
        }
    }

    /// Reads renewed certificates. If they can't be read, uses those from the start.
    fn tls(&self) -> MakeRustlsConnect {
        self.url.tls.connector().unwrap_or_else(|_| self.tls.clone())
    }

    /// Returns why no host could be connected to the last time. The driver's error, which the pool
    /// passes on, covers one host only.
    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the time limits of a session, unless a pooler is in between. It may run each statement
    /// on another backend, where other clients' settings apply and the name of a prepared statement
    /// means another one, or none.
    async fn prepare_session(&self, client: &Client) -> Result<(), Error> {
        if !is_pooled(client).await? {
            let limit = format!("{}ms", self.limit.as_millis());
            return client.query_typed(PREPARE_SESSION, &[(&limit, Type::TEXT)]).await.map(drop);
        }
        if self.statements == PreparedStatements::Auto && self.by_name.swap(false, Ordering::AcqRel)
        {
            tracing::info!(
                "a pooler stands before PostgreSQL: statements are not prepared by name; \
                 DATABASE_PREPARED_STATEMENTS=on does that with a pooler that knows how to (PgBouncer 1.21 and later)"
            );
        }
        Ok(())
    }
}

impl fmt::Debug for PoolConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolConnector").field("url", &self.url).finish_non_exhaustive()
    }
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), Error>> + Send + 'a>>;

impl Connect for PoolConnector {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let config = config.clone();
        Box::pin(async move {
            let error = match connect_first(&self.url, &config, &self.tls(), Target::FromUrl).await
            {
                Ok((client, connection)) => {
                    let driver = spawn_driver(connection);
                    self.prepare_session(&client).await?;
                    *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    return Ok((client, driver));
                }
                Err(error) => error,
            };
            *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(error.to_string());
            match driver_error(error) {
                Some(error) => Err(error),
                // Only timeouts, for which the driver has no error: the pool's own time limit is
                // about to expire.
                None => std::future::pending().await,
            }
        })
    }
}

/// Returns the last error of the driver.
fn driver_error(error: ConnectError) -> Option<tokio_postgres::Error> {
    error.attempts.into_iter().rev().find_map(|(_, failure)| match failure {
        HostFailure::Refused(error) => Some(error),
        HostFailure::ReadOnly(_) | HostFailure::Lookup(_) | HostFailure::TimedOut(_) => None,
    })
}
