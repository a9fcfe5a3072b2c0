//! One connection to RabbitMQ.

use std::time::Duration;

use anyhow::Context as _;
use lapin::{Connection, ConnectionProperties};

use super::url::BrokerUrl;

/// How long connecting may take, from the first packet to the broker's `open-ok`.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Connects to `url` under `name`, which the management UI shows.
///
/// # Errors
/// When the broker can't be reached, refuses, or does not answer within 10 s.
pub async fn connect(url: &BrokerUrl, name: &str) -> anyhow::Result<Connection> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    tokio::time::timeout(CONNECT_LIMIT, Connection::connect_uri(url.uri.clone(), properties))
        .await
        .context("the broker does not answer within 10 s")?
        .map_err(|error| anyhow::anyhow!(reason(&error)))
}

/// An error of the driver in words that may be logged.
#[must_use]
pub fn reason(error: &lapin::Error) -> String {
    error.to_string()
}
