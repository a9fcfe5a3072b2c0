//! The connection to RabbitMQ, kept while channels come and go.

use std::time::Duration;

use service_kit::amqp::{Channel, Connection};
use service_kit::broker::BrokerUrl;
use tokio::time::timeout;

/// How long the broker may take to open or close something.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the broker may take to confirm messages. Long, since a broker that is short of memory or disk reads nothing for a while, and
/// later all that was sent: each new try would be one more copy. A broker that is gone is noticed by its heartbeats.
pub(super) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a frame: as many as brokers allow unless told otherwise, as a message's headers have to fit into one.
const FRAME_MAX: u32 = 128 << 10;

/// Reply codes with which RabbitMQ closes a channel over a request
/// (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
pub(super) const RESOURCE_LOCKED: u16 = 405;
pub(super) const PRECONDITION_FAILED: u16 = 406;

/// A connection that is made when it is needed.
pub(super) struct Broker {
    url: BrokerUrl,
    name: &'static str,
    connection: Option<Connection>,
}

impl Broker {
    /// The management UI shows `name`.
    pub(super) fn new(url: &BrokerUrl, name: &'static str) -> Self {
        Self { url: url.clone(), name, connection: None }
    }

    /// Another connection to the same broker, made when it is needed.
    pub(super) fn separate_connection(&self, name: &'static str) -> Self {
        Self::new(&self.url, name)
    }

    /// A new channel, and how large a frame may be on it; connects first when there is no connection.
    ///
    /// # Errors
    /// With the reason why there is none.
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

    /// One more channel on the connection that is there.
    ///
    /// # Errors
    /// With the reason why there is none.
    pub(super) async fn open_channel(&self) -> Result<Channel, String> {
        match &self.connection {
            Some(connection) => open(connection).await,
            None => Err("the broker is not connected".to_owned()),
        }
    }

    /// Lets go of the connection without a word: whatever the broker still does for it ends with it.
    pub(super) fn drop_connection(&mut self) {
        self.connection = None;
    }

    /// Closes the connection in an orderly way.
    pub(super) async fn close(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if timeout(RESPONSE_TIMEOUT, connection.close()).await.is_err() {
            tracing::debug!("the broker does not answer: left without a farewell");
        }
    }
}

async fn open(connection: &Connection) -> Result<Channel, String> {
    with_timeout("open a channel", Channel::open(connection)).await
}

/// What the broker was asked for, or why it was not done within [`RESPONSE_TIMEOUT`].
pub(super) async fn with_timeout<T, E: ToString>(
    what: &str,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    timeout(RESPONSE_TIMEOUT, asked)
        .await
        .map_err(|_| format!("the broker takes longer than {RESPONSE_TIMEOUT:?} to {what}"))?
        .map_err(|error| error.to_string())
}
