//! One connection to PostgreSQL.

use tokio::task::JoinHandle;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{Client, Connection, Socket};

use super::open::{Purpose, open};
use super::tls::connector;
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
    connect_for(Purpose::AsTheUrlSays, url, application_name).await
}

/// As [`connect`], but to a host that takes writes, whatever `target_session_attrs` demands.
///
/// # Errors
/// As [`connect`]; a host that takes no writes says so with its [`ReadOnly`](super::ReadOnly).
pub async fn connect_writable(
    url: &DatabaseUrl,
    application_name: &str,
) -> anyhow::Result<Session> {
    connect_for(Purpose::Writing, url, application_name).await
}

async fn connect_for(
    purpose: Purpose,
    url: &DatabaseUrl,
    application_name: &str,
) -> anyhow::Result<Session> {
    let mut config = url.config.clone();
    config.application_name(application_name);
    let (client, connection) = open(url, &config, &connector(url)?, purpose)
        .await
        .map_err(|unreached| anyhow::anyhow!(unreached.to_string()))?;
    Ok(Session { client, driver: drive(connection) })
}

/// Runs a connection until it ends; its client learns of that by itself.
pub(super) fn drive<T>(connection: Connection<Socket, T>) -> JoinHandle<()>
where
    T: TlsStream + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = reason(&error), "the connection to PostgreSQL ended");
        }
    })
}

/// An error of the driver in words that may be logged: no SQL values, no password.
#[must_use]
pub fn reason(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    chain(error)
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
