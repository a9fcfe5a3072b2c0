//! The collector's connection to RabbitMQ: consumes the dead-letter queue, one collector at a time.

use std::time::Duration;

use amqp::{BrokerUrl, Channel, CloseReason, Connection, Delivery, Failure};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

/// How long the broker may take to answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The frame size, RabbitMQ's default. A message's headers must fit into one frame.
const FRAME_MAX: u32 = 128 << 10;

/// Reply codes with which RabbitMQ closes a channel over a request
/// (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const RESOURCE_LOCKED: u16 = 405;

/// Bytes of a queue's name that are part of its lock's name, which AMQP limits to 255.
const NAME_LIMIT: usize = 240;

/// Why the queue can't be collected now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SubscribeError {
    /// Another collector collects it.
    Taken(String),
    /// The broker can't be reached, or refuses.
    Unavailable(String),
}

/// A subscription to a dead-letter queue.
#[derive(Debug)]
pub(super) struct Subscription {
    channel: Channel,
    /// The queue is locked for as long as this lives, and closed after its channel.
    connection: Connection,
    queue: String,
}

impl Subscription {
    /// Connects and locks the queue against other collectors.
    ///
    /// # Errors
    /// Returns why that is not possible now.
    pub(super) async fn lock(url: &BrokerUrl, queue: &str) -> Result<Self, SubscribeError> {
        let connecting = Connection::open(url, "outbox-relay dead-letters collect", FRAME_MAX);
        let connection =
            connecting.await.map_err(|error| SubscribeError::Unavailable(format!("{error:#}")))?;
        let opening = async {
            let channel =
                Channel::open(&connection).await.map_err(|failure| unavailable(&failure))?;
            let lock = lock_name(queue);
            let locked = channel.declare_exclusive_queue(&lock).await;
            locked.map_err(|failure| explain_lock(queue, &lock, &failure))?;
            Ok(channel)
        };
        let opened = timeout(RESPONSE_TIMEOUT, opening).await;
        match opened.unwrap_or_else(|_| Err(SubscribeError::Unavailable(too_slow()))) {
            Ok(channel) => Ok(Self { channel, connection, queue: queue.to_owned() }),
            Err(error) => {
                // The broker logs connections that end without a word.
                timeout(RESPONSE_TIMEOUT, connection.close()).await.ok();
                Err(error)
            }
        }
    }

    /// Starts to consume the queue.
    ///
    /// # Errors
    /// Returns why that is not possible now.
    pub(super) async fn consume(&self, prefetch: u16) -> Result<(), String> {
        let consuming = timeout(RESPONSE_TIMEOUT, self.channel.consume(&self.queue, prefetch));
        let consuming = consuming.await.map_err(|_| too_slow())?;
        consuming.map_err(|failure| explain_consume(&self.queue, &failure))
    }

    /// Waits for messages and returns those that have arrived: at most `most`, and none beyond the
    /// one that reaches `bytes`. Cancel safe.
    ///
    /// # Errors
    /// Returns why no more can arrive.
    pub(super) async fn receive(&self, most: usize, bytes: usize) -> Result<Vec<Delivery>, String> {
        self.channel.deliveries(most, bytes).await.map_err(|failure| failure.to_string())
    }

    /// Returns true if a message, or part of one, has arrived that `receive` has not returned.
    pub(super) fn is_receiving(&self) -> bool {
        self.channel.is_receiving()
    }

    /// Acknowledges all deliveries up to `tag`.
    ///
    /// # Errors
    /// Returns why they can't be acknowledged any more.
    pub(super) async fn acknowledge_up_to(&self, tag: u64) -> Result<(), String> {
        self.channel.acknowledge_up_to(tag).await
    }

    /// Acknowledges the deliveries with these tags, and no others.
    ///
    /// # Errors
    /// Returns why they can't be acknowledged any more.
    pub(super) async fn acknowledge(&self, tags: &[u64]) -> Result<(), String> {
        self.channel.acknowledge(tags).await
    }

    /// Waits until no more messages can arrive, and returns why. Cancel safe.
    pub(super) async fn closed(&self) -> String {
        self.channel.closed().await.to_string()
    }

    /// Closes the channel, so that no acknowledgement is lost, and then the connection. What was
    /// not acknowledged returns to the queue.
    pub(super) async fn close(self) {
        let closing = async {
            if let Err(failure) = self.channel.close().await {
                tracing::debug!(%failure, "the channel was closed before");
            }
            self.connection.close().await;
        };
        if timeout(RESPONSE_TIMEOUT, closing).await.is_err() {
            tracing::debug!("the broker did not answer to the close of the connection");
        }
    }
}

/// The exclusive queue that keeps other collectors from this one: it lasts as long as the
/// connection. RabbitMQ's exclusive consumers work for classic queues only. A long name is cut, and
/// its hash added, as two names may differ at their ends only.
fn lock_name(queue: &str) -> String {
    if queue.len() <= NAME_LIMIT {
        return format!("{queue}.collecting");
    }
    let hash = hex(&Sha256::digest(queue)[..8]);
    let begin = &queue[..queue.floor_char_boundary(NAME_LIMIT - hash.len() - 1)];
    format!("{begin}.{hash}.collecting")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unavailable(failure: &Failure) -> SubscribeError {
    SubscribeError::Unavailable(failure.to_string())
}

fn explain_lock(queue: &str, lock: &str, failure: &Failure) -> SubscribeError {
    match failure {
        Failure::Refused(CloseReason { code: RESOURCE_LOCKED, .. }) => {
            SubscribeError::Taken(format!("another collector collects {queue}"))
        }
        Failure::Refused(CloseReason { code: ACCESS_REFUSED, text }) => {
            SubscribeError::Unavailable(format!(
                "{text}: the collector declares the queue {lock}, by which it keeps others away; give its user the permission to configure it"
            ))
        }
        failure => unavailable(failure),
    }
}

fn explain_consume(queue: &str, failure: &Failure) -> String {
    match failure {
        Failure::Refused(CloseReason { code: NOT_FOUND, text }) => {
            format!("{text}: is {queue} the right name, and RABBITMQ_URL the right virtual host?")
        }
        Failure::Refused(CloseReason { code: ACCESS_REFUSED, text }) => {
            format!("{text}: give the collector's user the permission to read {queue}")
        }
        failure => format!("queue {queue} can't be consumed: {failure}"),
    }
}

fn too_slow() -> String {
    format!("the broker takes longer than {RESPONSE_TIMEOUT:?} to answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_queue_has_a_lock_of_its_own() {
        assert_eq!(lock_name("billing.dlq"), "billing.dlq.collecting");
        let long = |end: &str| lock_name(&format!("{}{end}", "\u{e9}".repeat(126)));
        assert_ne!(long("one"), long("two"));
        assert!(long("one").len() <= 255 && long("one").ends_with(".collecting"));
    }
}
