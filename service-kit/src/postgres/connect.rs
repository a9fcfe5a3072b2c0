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
    /// The client that sends statements.
    pub client: Client,
    driver: JoinHandle<()>,
}

impl Session {
    /// Completes when the connection is closed.
    pub async fn closed(&mut self) {
        // However the task ended, the connection is closed.
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

/// Connects to `url` under `application_name`, which `pg_stat_activity` shows. Of several hosts,
/// uses the first one that answers and accepts writes.
///
/// # Errors
/// If no server can be reached, or all reject the connection. Gives the reason of each, without
/// secrets.
pub async fn connect(url: &DatabaseUrl, application_name: &str) -> anyhow::Result<Session> {
    connect_to(Target::FromUrl, url, application_name).await
}

/// Like [`connect`], but to a host that accepts writes, whatever `target_session_attrs` demands.
///
/// # Errors
/// As [`connect`]; the reason of a read-only host is its [`ReadOnly`](super::ReadOnly).
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

/// Spawns the task that drives a connection until it is closed. The client notices the end by
/// itself.
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
