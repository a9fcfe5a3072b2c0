//! One connection to PostgreSQL.

use tokio::task::JoinHandle;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{Client, Connection, Socket};

use super::error::reason;
use super::multi_host::{Target, connect_first};
use super::url::DatabaseUrl;

/// A connection with the task that drives it. Dropping it closes the connection.
#[derive(Debug)]
pub struct Session {
    /// What statements are sent through.
    pub client: Client,
    driver: JoinHandle<()>,
}

impl Session {
    /// Completes when the connection is gone.
    pub async fn closed(&mut self) {
        // However the driver ended, the connection is closed.
        if (&mut self.driver).await.is_err() {
            tracing::debug!("the connection's driver was ended");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connects to `url` under `application_name`, which `pg_stat_activity` shows: of several hosts to the first one that answers
/// and can be written to.
///
/// # Errors
/// When no server can be reached, or all refuse; says why of each, without secrets.
pub async fn connect(url: &DatabaseUrl, application_name: &str) -> anyhow::Result<Session> {
    connect_to(Target::FromUrl, url, application_name).await
}

/// As [`connect`], but to a host that takes writes, whatever `target_session_attrs` demands.
///
/// # Errors
/// As [`connect`]; a host that takes no writes says so with its [`ReadOnly`](super::ReadOnly).
pub async fn connect_writable(
    url: &DatabaseUrl,
    application_name: &str,
) -> anyhow::Result<Session> {
    connect_to(Target::Writable, url, application_name).await
}

async fn connect_to(
    target: Target,
    url: &DatabaseUrl,
    application_name: &str,
) -> anyhow::Result<Session> {
    let mut config = url.config.clone();
    config.application_name(application_name);
    let (client, connection) = connect_first(url, &config, &url.tls.connector()?, target)
        .await
        .map_err(|error| anyhow::anyhow!(error.to_string()))?;
    Ok(Session { client, driver: spawn_driver(connection) })
}

/// Runs a connection until it ends; its client learns of that by itself.
pub(super) fn spawn_driver<T>(connection: Connection<Socket, T>) -> JoinHandle<()>
where
    T: TlsStream + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = reason(&error), "the connection to PostgreSQL ended");
        }
    })
}
