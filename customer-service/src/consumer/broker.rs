//! The connection to RabbitMQ, kept while channels come and go.

use std::time::Duration;

use amqp::BrokerUrl;
use amqp::{Channel, Connection};
use tokio::time::timeout;

/// How long the broker may take to open or close something.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long the broker may take to confirm messages. Long, since a broker that is short of memory or disk reads nothing for a while, and
/// later all that was sent: each new try would be one more copy. A broker that is gone is noticed by its heartbeats.
pub(super) const CONFIRM_LIMIT: Duration = Duration::from_secs(60);

/// Bytes of a frame: as many as brokers allow unless told otherwise, as a message's headers have to fit into one.
const FRAME_MAX: u32 = 128 << 10;

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
    pub(super) fn sibling(&self, name: &'static str) -> Self {
        Self::new(&self.url, name)
    }

    /// A new channel, and how large a frame may be on it; connects first when there is no connection.
    ///
    /// # Errors
    /// With the reason why there is none.
    pub(super) async fn channel(&mut self) -> Result<(Channel, usize), String> {
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
    pub(super) async fn another_channel(&self) -> Result<Channel, String> {
        match &self.connection {
            Some(connection) => open(connection).await,
            None => Err("the broker is not connected".to_owned()),
        }
    }

    /// Lets go of the connection without a word: whatever the broker still does for it ends with it.
    pub(super) fn forget(&mut self) {
        self.connection = None;
    }

    /// Closes the connection in an orderly way.
    pub(super) async fn close(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if timeout(ANSWER_LIMIT, connection.close()).await.is_err() {
            tracing::debug!("the broker does not answer: left without a farewell");
        }
    }
}

async fn open(connection: &Connection) -> Result<Channel, String> {
    in_time("open a channel", Channel::open(connection)).await
}

/// What the broker was asked for, or why it was not done within [`ANSWER_LIMIT`].
pub(super) async fn in_time<T, E: ToString>(
    what: &str,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    timeout(ANSWER_LIMIT, asked)
        .await
        .map_err(|_| format!("the broker takes longer than {ANSWER_LIMIT:?} to {what}"))?
        .map_err(|error| error.to_string())
}
