//! Clients that disconnect before they get a response.

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_postgres::Client;

use crate::outbox::eventually;

/// Sends a request to the service at `url`. Dropping the returned connection disconnects the
/// client.
///
/// # Errors
/// When the service does not take it.
pub async fn send_request(
    url: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<TcpStream> {
    let peer = url.strip_prefix("http://").context("a URL without TLS")?;
    let mut stream = TcpStream::connect(peer).await?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// The number of statements in the database that wait for this (`Lock`, or an event such as
/// `PgSleep`).
///
/// # Errors
/// When the database does not answer.
pub async fn waiting_for(sql: &Client, what: &str) -> anyhow::Result<i64> {
    let query = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND state = 'active' AND $1 IN (wait_event_type, wait_event)";
    Ok(sql.query_one(query, &[&what]).await?.get(0))
}

/// Waits until this many statements do.
///
/// # Errors
/// When they do not in time.
pub async fn until_waiting(sql: &Client, what: &str, statements: i64) -> anyhow::Result<()> {
    eventually(&format!("{statements} statements wait for {what}"), async || {
        Ok(waiting_for(sql, what).await? == statements)
    })
    .await
}
