//! The connection to RabbitMQ, kept while channels come and go.

use std::time::Duration;

use lapin::{Channel, Connection};
use service_kit::broker::{BrokerUrl, connect, reason};
use tokio::time::timeout;

/// How long the broker may take to open or close something.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

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
    pub(super) async fn channel(&mut self) -> Result<(Channel, u32), String> {
        let connection = match self.connection.take() {
            Some(connection) if connection.status().connected() => connection,
            _ => connect(&self.url, self.name).await.map_err(|error| format!("{error:#}"))?,
        };
        let channel = open(&connection).await?;
        let frame_max = connection.configuration().frame_max();
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

    /// Closes the connection in an orderly way.
    pub(super) async fn close(self) {
        let Some(connection) = self.connection else {
            return;
        };
        match timeout(ANSWER_LIMIT, connection.close(200, "stopping".into())).await {
            Ok(Ok(())) => (),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the connection to the broker was closed already");
            }
            Err(_) => {
                tracing::debug!("the broker does not answer: left without a farewell");
            }
        }
    }
}

async fn open(connection: &Connection) -> Result<Channel, String> {
    timeout(ANSWER_LIMIT, connection.create_channel())
        .await
        .map_err(|_| format!("the broker takes longer than {ANSWER_LIMIT:?} to open a channel"))?
        .map_err(|error| reason(&error))
}
