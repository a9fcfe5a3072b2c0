//! Shortens the wait of messages that were sent to the retry queue with a longer `RABBITMQ_RETRY_TTL_MS` than is set now.
//!
//! A quorum queue looks for messages whose time has come at its head alone: one that still waits for hours keeps all behind it waiting as long.
//! So the head is looked at when the consumer begins, and from time to time: it takes a message that waits longer than it would today, sends it to the
//! retry queue again with the shorter wait and acknowledges it, and goes on with the next, until one is there that waits no longer. A crash in between
//! gives a duplicate, never a loss; several consumers get different messages.

use std::convert::Infallible;
use std::slice;
use std::time::Duration;

use service_kit::amqp::{Channel, Delivery, Failure, Goodbye, Outcome};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::broker::{ACCESS_REFUSED, Broker, CONFIRM_TIMEOUT, NOT_FOUND, with_timeout};
use super::headers;
use super::republish::{self, FRAME_OVERHEAD};
use super::topology::{RETRY_EXCHANGE, RETRY_QUEUE, WORK_QUEUE};

/// Messages that are sent before their confirms are awaited, and their bytes. Each one that was taken by itself is acknowledged by itself inside
/// RabbitMQ, which keeps more than 32 of these back for a moment, and forgets them when the channel is closed in that moment: then the
/// messages are there twice.
const BATCH_SIZE: usize = 16;
const BATCH_BYTES: usize = 4 << 20;

/// The shortest time between two looks.
const MIN_INTERVAL: Duration = Duration::from_mins(1);

/// Looks at the head of the retry queue again and again. What can't be done now stays as it was until the next time.
pub(super) async fn enforce_retry_ttl(broker: &Broker, ttl_ms: u32) -> Infallible {
    // A head that waits no longer than it should is gone when its time is up: nobody has to look at it twice.
    let interval = MIN_INTERVAL.max(Duration::from_millis(ttl_ms.into()));
    let mut held_channel = None;
    loop {
        let mut moved = 0;
        if let Err(reason) = Scan::run(broker, ttl_ms, &mut held_channel, &mut moved).await {
            tracing::warn!(
                reason,
                "can't look whether messages in {RETRY_QUEUE} wait longer than RABBITMQ_RETRY_TTL_MS"
            );
        }
        if moved > 0 {
            tracing::info!(
                moved,
                "messages in {RETRY_QUEUE} waited longer than RABBITMQ_RETRY_TTL_MS, and no longer do"
            );
        }
        tokio::time::sleep(interval).await;
    }
}

/// A message that is to wait for so many milliseconds.
type Shortened = (Delivery, u64);

/// One look, and all that comes of it.
struct Scan<'a> {
    /// Takes and acknowledges. What is not acknowledged returns to the queue when it is closed.
    receiver: Channel,
    /// Whether the channel `receiver` holds messages whose copies RabbitMQ refused, one that is too large, say. They stay unacknowledged on it until it is closed:
    /// back at the head of the retry queue they would hold up all messages behind them.
    holds_refused: bool,
    /// Opened when there is something to send: a broker that is short of memory or disk reads nothing more from who publishes.
    publisher: Option<(Channel, usize)>,
    publishing: Broker,
    ttl_ms: u32,
    moved: &'a mut usize,
}

impl Scan<'_> {
    /// Looks. `held_channel` is the channel that has messages which earlier looks could not send, or this one can't.
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
        let publishing = broker.separate_connection("customer-service consumer: shorter waits");
        let mut scan = Scan { receiver, holds_refused, publisher: None, publishing, ttl_ms, moved };
        let result = scan.replace_messages().await;
        scan.publishing.close().await;
        *held_channel = scan.holds_refused.then_some(scan.receiver);
        result
    }

    /// Goes on until the next message waits no longer than it should, or the broker does not take a message that is not to blame.
    async fn replace_messages(&mut self) -> Result<(), String> {
        let mut refused = None;
        loop {
            let (batch, is_last) = self.take_batch().await?;
            let mut confirmed = Vec::new();
            let result = self.send_all(&batch, &mut confirmed).await;
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

    /// Takes messages that wait too long, each with how long it is to wait. Says whether the next one does not, or there is none.
    async fn take_batch(&self) -> Result<(Vec<Shortened>, bool), String> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_SIZE && bytes < BATCH_BYTES {
            let Some(delivery) = with_timeout("answer", self.get_head()).await? else {
                return Ok((batch, true));
            };
            let now = OffsetDateTime::now_utc();
            let Some(wait) = shortened_ttl(&delivery, self.ttl_ms, now) else {
                let tag = delivery.envelope.tag;
                with_timeout("take an answer", self.receiver.return_to_queue(&[tag])).await?;
                return Ok((batch, true));
            };
            bytes += delivery.weight();
            batch.push((delivery, wait));
        }
        Ok((batch, false))
    }

    /// The message at the head; none as well where there is no such queue, or the consumer may not read it and can't help.
    async fn get_head(&self) -> Result<Option<Delivery>, Failure> {
        match self.receiver.get(RETRY_QUEUE).await {
            Err(Failure::Refused(Goodbye { code: ACCESS_REFUSED | NOT_FOUND, said })) => {
                tracing::debug!(said, "can't look into {RETRY_QUEUE}");
                Ok(None)
            }
            got => got,
        }
    }

    /// Sends messages, and adds the tags of those that the broker has confirmed to `confirmed`.
    ///
    /// # Errors
    /// When the broker closed the channel over one of them, or did not tell of some: whether those arrived is unknown.
    async fn send_all(
        &mut self,
        batch: &[Shortened],
        confirmed: &mut Vec<u64>,
    ) -> Result<(), Failure> {
        let mut result = self.send(batch, confirmed).await;
        if batch.len() > 1 && is_message_refused(&result) {
            // The others are not to blame.
            for one in batch {
                if confirmed.contains(&one.0.envelope.tag) {
                    continue;
                }
                match self.send(slice::from_ref(one), confirmed).await {
                    Ok(()) => (),
                    refused @ Err(Failure::Refused(_)) => result = refused,
                    lost => return lost,
                }
            }
        }
        result
    }

    async fn send(&mut self, batch: &[Shortened], confirmed: &mut Vec<u64>) -> Result<(), Failure> {
        let (channel, frame_max) = match self.publisher.take() {
            Some(open) => open,
            None => self.open().await.map_err(Failure::Lost)?,
        };
        let room = frame_max.saturating_sub(FRAME_OVERHEAD);
        let messages: Vec<_> = batch
            .iter()
            .map(|(delivery, wait)| {
                let properties = republish::properties(delivery)
                    .with_expiration(wait.to_string().into())
                    .with_headers(headers::for_same_route(delivery, room));
                republish::message(delivery, &properties, WORK_QUEUE)
            })
            .collect();
        let exchange = RETRY_EXCHANGE.into();
        let result = timeout(CONFIRM_TIMEOUT, channel.publish(&exchange, &messages)).await;
        let before = confirmed.len();
        for ((delivery, _), outcome) in batch.iter().zip(channel.outcomes(&messages)) {
            if outcome == Some(Outcome::Confirmed) {
                confirmed.push(delivery.envelope.tag);
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
        let (channel, frame_max) = self.publishing.connect().await?;
        with_timeout("answer", channel.confirm()).await?;
        Ok((channel, frame_max))
    }
}

/// Whether the broker closed the channel over what a message is, and not over where it was confirmed.
fn is_message_refused(result: &Result<(), Failure>) -> bool {
    matches!(result, Err(Failure::Refused(Goodbye { code, .. })) if !matches!(*code, ACCESS_REFUSED | NOT_FOUND))
}

/// How many milliseconds a message is to wait from now on; none when it waits no longer than `ttl_ms` anyway.
///
/// Its `expiration` says how long it was to wait in all. Since when it does, the header `x-last-failed-at` says; where that is missing or makes no sense, or the
/// message has no expiration, as others may have confirmed it, it begins anew.
pub(super) fn shortened_ttl(delivery: &Delivery, ttl_ms: u32, now: OffsetDateTime) -> Option<u64> {
    let wait = u64::from(ttl_ms);
    let expiration = delivery.properties().expiration().as_ref();
    let Some(in_all) = expiration.and_then(|text| text.as_str().parse::<u64>().ok()) else {
        return Some(wait);
    };
    if in_all <= wait {
        return None;
    }
    let waited = headers::last_failed_at(delivery)
        .and_then(|since| u64::try_from((now - since).whole_milliseconds()).ok());
    let left = waited.and_then(|waited| in_all.checked_sub(waited)).filter(|left| *left > 0);
    Some(left.map_or(wait, |left| left.min(wait)))
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::BasicProperties;
    use amq_protocol::types::{AMQPValue, FieldTable};
    use service_kit::amqp::{Envelope, content_header};

    use super::*;

    const NOON: OffsetDateTime = time::macros::datetime!(2026-02-01 12:00 UTC);

    fn wait(expiration: Option<&str>, failed_at: Option<&str>) -> Option<u64> {
        let mut properties = BasicProperties::default();
        if let Some(expiration) = expiration {
            properties = properties.with_expiration(expiration.into());
        }
        if let Some(at) = failed_at {
            let mut headers = FieldTable::default();
            headers.insert("x-last-failed-at".into(), AMQPValue::LongString(at.into()));
            properties = properties.with_headers(headers);
        }
        let routing_key = WORK_QUEUE.to_owned();
        let exchange = RETRY_EXCHANGE.to_owned();
        let envelope = Envelope { tag: 1, redelivered: false, exchange, routing_key };
        let header = content_header(0, &properties);
        shortened_ttl(&Delivery::new(envelope, header, Vec::new().into()), 10_000, NOON)
    }

    #[test]
    fn what_waits_longer_than_it_would_today_waits_shorter_and_no_message_longer() {
        for (expiration, failed_at, expected) in [
            (Some("1"), None, None),
            (Some("10000"), Some("2026-02-01T12:00:00Z"), None),
            (Some("10001"), None, Some(10_000)),
            (Some("600000"), Some("2026-02-01T12:00:00Z"), Some(10_000)),
            (Some("600000"), Some("2026-02-01T11:59:00Z"), Some(10_000)),
            (Some("600000"), Some("2026-02-01T11:50:03Z"), Some(3_000)),
            // Its time has come, says a clock; the broker says that it has not.
            (Some("600000"), Some("2026-02-01T11:50:00Z"), Some(10_000)),
            (Some("600000"), Some("2026-01-01T00:00:00Z"), Some(10_000)),
            (Some("600000"), Some("2026-02-01T12:05:00Z"), Some(10_000)),
            (Some("600000"), Some("yesterday"), Some(10_000)),
            // Nobody's expiration, or one that no broker takes.
            (None, None, Some(10_000)),
            (Some("soon"), Some("2026-02-01T12:00:00Z"), Some(10_000)),
            (Some("99999999999999999999"), None, Some(10_000)),
        ] {
            assert_eq!(wait(expiration, failed_at), expected, "{expiration:?} {failed_at:?}");
        }
    }
}
