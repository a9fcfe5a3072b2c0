//! The connection to RabbitMQ and its channels.

use std::time::Duration;

use amqp::BrokerUrl;
use amqp::{Channel, Connection};
use tokio::time::timeout;

/// How long the broker may take to answer a request.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the broker may take to confirm messages. A broker that is short of memory or disk reads
/// nothing for a while and then all that was sent, so that each new try would add a copy. A lost
/// broker is noticed earlier, by its heartbeats.
pub(super) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);

/// The frame size, RabbitMQ's default. A message's headers must fit into one frame.
const FRAME_MAX: u32 = 128 << 10;

/// Reply codes with which RabbitMQ closes a channel over a request
/// (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
pub(super) const RESOURCE_LOCKED: u16 = 405;
pub(super) const PRECONDITION_FAILED: u16 = 406;

/// A connection that is opened when it is needed.
pub(super) struct Broker {
    url: BrokerUrl,
    name: &'static str,
    connection: Option<Connection>,
}

impl Broker {
    /// Creates a closed connection. The management UI shows its `name` once it is open.
    pub(super) fn new(url: &BrokerUrl, name: &'static str) -> Self {
        Self { url: url.clone(), name, connection: None }
    }

    /// Creates another connection to the same broker.
    pub(super) fn separate_connection(&self, name: &'static str) -> Self {
        Self::new(&self.url, name)
    }

    /// Connects unless that is done, and opens a channel. Returns it with its frame size.
    ///
    /// # Errors
    /// Returns why that failed.
    pub(super) async fn connect(&mut self) -> Result<(Channel, usize), String> {
        let connection = match self.connection.take() {
            Some(connection) if connection.ended().is_none() => connection,
            _ => {
                let connecting = Connection::open(&self.url, self.name, FRAME_MAX);
                connecting.await.map_err(|error| format!("{error:#}"))?
            }
        };
        let channel = open(&connection).await?;
        let frame_max = connection.frame_max();
        self.connection = Some(connection);
        Ok((channel, frame_max))
    }

    /// Opens another channel on the open connection.
    ///
    /// # Errors
    /// Returns why that failed.
    pub(super) async fn open_channel(&self) -> Result<Channel, String> {
        match &self.connection {
            Some(connection) => open(connection).await,
            None => Err("the broker is not connected".to_owned()),
        }
    }

    /// Drops the connection without closing it. The broker ends whatever it still does for it.
    pub(super) fn drop_connection(&mut self) {
        self.connection = None;
    }

    /// Closes the connection.
    pub(super) async fn close(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if timeout(RESPONSE_TIMEOUT, connection.close()).await.is_err() {
            tracing::debug!("the broker did not answer to the close of the connection");
        }
    }
}

async fn open(connection: &Connection) -> Result<Channel, String> {
    with_timeout("open a channel", Channel::open(connection)).await
}

/// Awaits the broker's answer for at most [`RESPONSE_TIMEOUT`]. `what` names the request in the
/// error.
pub(super) async fn with_timeout<T, E: ToString>(
    what: &str,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    timeout(RESPONSE_TIMEOUT, answer)
        .await
        .map_err(|_| format!("the broker takes longer than {RESPONSE_TIMEOUT:?} to {what}"))?
        .map_err(|error| error.to_string())
}
