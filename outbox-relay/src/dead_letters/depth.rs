//! Asks how many messages wait in the queue, over a connection of its own: while the consuming
//! connection's buffer is full it is not read, so no answer would arrive on it.

use std::time::Duration;

use amqp::{BrokerUrl, Channel, CloseReason, Connection, Failure};
use tokio::time::timeout;

use crate::config::CollectorConfig;

/// How long the broker may take to answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The frame size, the smallest that AMQP allows.
const FRAME_MAX: u32 = 4096;

/// The reply code for a queue that is not there
/// (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
const NOT_FOUND: u16 = 404;

/// Measures the depth of a queue on request.
#[derive(Debug)]
pub(super) struct DepthProbe {
    url: BrokerUrl,
    queue: String,
    /// Closed in this order.
    open: Option<(Channel, Connection)>,
}

impl DepthProbe {
    /// Returns a probe that connects at its first measurement.
    pub(super) fn new(config: &CollectorConfig) -> Self {
        let (url, queue) = (config.broker.url().clone(), config.collect.queue.clone());
        Self { url, queue, open: None }
    }

    /// Returns the number of ready messages; delivered ones are not counted.
    ///
    /// # Errors
    /// Returns why the depth is unknown. The next call uses a new connection.
    pub(super) async fn measure(&mut self) -> Result<u32, String> {
        let measured = timeout(RESPONSE_TIMEOUT, self.ask()).await;
        let measured = measured.unwrap_or_else(|_| {
            Err(format!("the broker takes longer than {RESPONSE_TIMEOUT:?} to answer"))
        });
        if measured.is_err() {
            self.open = None;
        }
        measured
    }

    async fn ask(&mut self) -> Result<u32, String> {
        if self.open.is_none() {
            let connecting =
                Connection::open(&self.url, "outbox-relay dead-letters depth", FRAME_MAX);
            let connection = connecting.await.map_err(|error| format!("{error:#}"))?;
            let channel =
                Channel::open(&connection).await.map_err(|failure| failure.to_string())?;
            self.open = Some((channel, connection));
        }
        let (channel, _) = self.open.as_ref().ok_or("there is no connection")?;
        let depth = channel.depth(&self.queue).await;
        depth.map(|depth| depth.messages).map_err(|failure| explain(&self.queue, &failure))
    }

    /// Closes the connection in order; RabbitMQ logs a warning for one that is just dropped.
    pub(super) async fn close(self) {
        if let Some((channel, connection)) = self.open {
            drop(channel);
            timeout(RESPONSE_TIMEOUT, connection.close()).await.ok();
        }
    }
}

fn explain(queue: &str, failure: &Failure) -> String {
    match failure {
        Failure::Refused(CloseReason { code: NOT_FOUND, text }) => {
            format!("{text}: is {queue} the right name, and RABBITMQ_URL the right virtual host?")
        }
        failure => format!("the depth of {queue} can't be measured: {failure}"),
    }
}
