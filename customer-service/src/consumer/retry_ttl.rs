//! Applies a shorter `RABBITMQ_RETRY_TTL_MS` to messages that are already in the retry queue.
//!
//! A quorum queue expires messages only at its head: one with a TTL of hours delays all behind it.
//! So the consumer scans the head of the queue at its start and from time to time: while the first
//! message has a longer TTL than is set now, it is published again with the shorter one and then
//! acknowledged. A crash in between duplicates messages, and loses none. Several consumers get
//! different messages.

use std::convert::Infallible;
use std::slice;
use std::time::Duration;

use amqp::{Channel, CloseReason, Delivery, Failure, Outcome};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::broker::{ACCESS_REFUSED, Broker, CONFIRM_TIMEOUT, NOT_FOUND, with_timeout};
use super::headers;
use super::message_copy::{self, FRAME_OVERHEAD};
use super::retry_policy::shortened_ttl;
use super::topology::{RETRY_EXCHANGE, RETRY_QUEUE, WORK_QUEUE};

/// How many messages, and how many bytes, are published before their confirms are awaited. RabbitMQ
/// acknowledges messages that were got one by one each by itself. It delays more than 32 of these
/// acknowledgements for a moment, and drops them when the channel is closed then, which duplicates
/// the messages.
const BATCH_SIZE: usize = 16;
const BATCH_BYTES: usize = 4 << 20;

/// The shortest time between two scans.
const MIN_INTERVAL: Duration = Duration::from_mins(1);

/// Scans the retry queue periodically until it is dropped. What fails is left to the next scan.
pub(super) async fn enforce_retry_ttl(broker: &Broker, ttl_ms: u32) -> Infallible {
    // A message with the right TTL has expired by the next scan.
    let interval = MIN_INTERVAL.max(Duration::from_millis(ttl_ms.into()));
    let mut held_channel = None;
    loop {
        let mut moved = 0;
        if let Err(reason) = Scan::run(broker, ttl_ms, &mut held_channel, &mut moved).await {
            tracing::warn!(
                reason,
                "can't apply RABBITMQ_RETRY_TTL_MS to messages in {RETRY_QUEUE}"
            );
        }
        if moved > 0 {
            tracing::info!(
                moved,
                "applied a shorter RABBITMQ_RETRY_TTL_MS to messages in {RETRY_QUEUE}"
            );
        }
        tokio::time::sleep(interval).await;
    }
}

/// A message and its new TTL in milliseconds.
type Shortened = (Delivery, u64);

/// One scan of the retry queue.
struct Scan<'a> {
    /// Gets and acknowledges messages. Those without an acknowledgement return to the queue when it
    /// is closed.
    receiver: Channel,
    /// Whether `receiver` holds messages whose copies RabbitMQ refused, one that is too large, say.
    /// They stay unacknowledged: back at the head of the queue they would delay all behind them.
    holds_refused: bool,
    /// Opened when there is something to publish, on a connection of its own: RabbitMQ stops
    /// reading from publishing connections while it is short of memory or disk.
    publisher: Option<(Channel, usize)>,
    connection: Broker,
    ttl_ms: u32,
    moved: &'a mut usize,
}

impl Scan<'_> {
    /// Runs a scan. `held_channel` is the channel that holds messages which earlier scans, or this
    /// one, could not publish.
    async fn run(
        broker: &Broker,
        ttl_ms: u32,
        held_channel: &mut Option<Channel>,
        moved: &mut usize,
    ) -> Result<(), String> {
        let (receiver, holds_refused) = match held_channel.take() {
            Some(open) if open.is_open() => (open, true),
            _ => (broker.open_channel().await?, false),
        };
        let connection = broker.separate_connection("customer-service consumer: shorter waits");
        let mut scan = Scan { receiver, holds_refused, publisher: None, connection, ttl_ms, moved };
        let result = scan.replace_messages().await;
        scan.connection.close().await;
        *held_channel = scan.holds_refused.then_some(scan.receiver);
        result
    }

    /// Replaces messages until the first one has the right TTL, or the broker refuses a message for
    /// another reason than the message itself.
    async fn replace_messages(&mut self) -> Result<(), String> {
        let mut refused = None;
        loop {
            let (batch, is_last) = self.take_batch().await?;
            let mut confirmed = Vec::new();
            let result = self.publish_all(&batch, &mut confirmed).await;
            with_timeout("take an answer", self.receiver.acknowledge(&confirmed)).await?;
            *self.moved += confirmed.len();
            if confirmed.len() < batch.len() {
                self.holds_refused = is_message_refused(&result);
                let why = result.map_or_else(
                    |failure| failure.to_string(),
                    |()| format!("{RETRY_QUEUE} does not take what was sent to {RETRY_EXCHANGE}"),
                );
                if !self.holds_refused {
                    return Err(why);
                }
                refused = Some(why);
            }
            if is_last {
                return refused.map_or(Ok(()), Err);
            }
        }
    }

    /// Gets messages whose TTL is too long. Returns true with them when they are the last ones.
    async fn take_batch(&self) -> Result<(Vec<Shortened>, bool), String> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_SIZE && bytes < BATCH_BYTES {
            let Some(delivery) = with_timeout("answer", self.get_head()).await? else {
                return Ok((batch, true));
            };
            let now = OffsetDateTime::now_utc();
            let Some(wait) = shortened_ttl(&delivery, self.ttl_ms, now) else {
                let tag = delivery.info.tag;
                with_timeout("take an answer", self.receiver.return_to_queue(&[tag])).await?;
                return Ok((batch, true));
            };
            bytes += delivery.weight();
            batch.push((delivery, wait));
        }
        Ok((batch, false))
    }

    /// Gets the first message. Returns `None` also when the queue does not exist or the consumer
    /// may not read it.
    async fn get_head(&self) -> Result<Option<Delivery>, Failure> {
        match self.receiver.get(RETRY_QUEUE).await {
            Err(Failure::Refused(CloseReason { code: ACCESS_REFUSED | NOT_FOUND, text })) => {
                tracing::debug!(reason = text, "can't read {RETRY_QUEUE}");
                Ok(None)
            }
            got => got,
        }
    }

    /// Publishes messages and adds the tags of those that the broker confirms to `confirmed`.
    ///
    /// # Errors
    /// When the broker closes the channel over one of them, or some have no answer: whether those
    /// arrived is unknown.
    async fn publish_all(
        &mut self,
        batch: &[Shortened],
        confirmed: &mut Vec<u64>,
    ) -> Result<(), Failure> {
        let mut result = self.publish(batch, confirmed).await;
        if batch.len() > 1 && is_message_refused(&result) {
            // The others can still be published.
            for one in batch {
                if confirmed.contains(&one.0.info.tag) {
                    continue;
                }
                match self.publish(slice::from_ref(one), confirmed).await {
                    Ok(()) => (),
                    refused @ Err(Failure::Refused(_)) => result = refused,
                    lost => return lost,
                }
            }
        }
        result
    }

    async fn publish(
        &mut self,
        batch: &[Shortened],
        confirmed: &mut Vec<u64>,
    ) -> Result<(), Failure> {
        let (channel, frame_max) = match self.publisher.take() {
            Some(open) => open,
            None => self.open().await.map_err(Failure::Lost)?,
        };
        let room = frame_max.saturating_sub(FRAME_OVERHEAD);
        let messages: Vec<_> = batch
            .iter()
            .map(|(delivery, wait)| {
                let properties = message_copy::properties(delivery)
                    .with_expiration(wait.to_string().into())
                    .with_headers(headers::for_same_route(delivery, room));
                message_copy::message(delivery, &properties, WORK_QUEUE)
            })
            .collect();
        let exchange = RETRY_EXCHANGE.into();
        let result = timeout(CONFIRM_TIMEOUT, channel.publish(&exchange, &messages)).await;
        let before = confirmed.len();
        for ((delivery, _), outcome) in batch.iter().zip(channel.outcomes(&messages)) {
            if outcome == Some(Outcome::Confirmed) {
                confirmed.push(delivery.info.tag);
            }
        }
        if confirmed.len() - before == batch.len() {
            self.publisher = Some((channel, frame_max));
        }
        result.unwrap_or_else(|_| {
            Err(Failure::Lost(format!(
                "the broker takes longer than {CONFIRM_TIMEOUT:?} to confirm"
            )))
        })
    }

    async fn open(&mut self) -> Result<(Channel, usize), String> {
        let (channel, frame_max) = self.connection.connect().await?;
        with_timeout("answer", channel.confirm()).await?;
        Ok((channel, frame_max))
    }
}

/// Whether the broker closed the channel over a message, and not over its destination.
fn is_message_refused(result: &Result<(), Failure>) -> bool {
    matches!(result, Err(Failure::Refused(CloseReason { code, .. })) if !matches!(*code, ACCESS_REFUSED | NOT_FOUND))
}
