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

use super::broker::{Broker, CONFIRM_LIMIT, in_time};
use super::headers;
use super::republish::{self, FRAME_OVERHEAD};
use super::topology::{ACCESS_REFUSED, NOT_FOUND, QUEUE, RETRY_EXCHANGE, RETRY_QUEUE};

/// Messages that are sent before their confirms are awaited, and their bytes. Each one that was taken by itself is acknowledged by itself inside
/// RabbitMQ, which keeps more than 32 of these back for a moment, and forgets them when the channel is closed in that moment: then the
/// messages are there twice.
const BATCH: usize = 16;
const BATCH_BYTES: usize = 4 << 20;

/// The shortest time between two looks.
const PAUSE: Duration = Duration::from_mins(1);

/// Looks at the head of the retry queue again and again. What can't be done now stays as it was until the next time.
pub(super) async fn hasten(broker: &Broker, wait_ms: u32) -> Infallible {
    // A head that waits no longer than it should is gone when its time is up: nobody has to look at it twice.
    let pause = PAUSE.max(Duration::from_millis(wait_ms.into()));
    let mut holding = None;
    loop {
        let mut moved = 0;
        if let Err(reason) = Pass::run(broker, wait_ms, &mut holding, &mut moved).await {
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
        tokio::time::sleep(pause).await;
    }
}

/// A message that is to wait for so many milliseconds.
type Copied = (Delivery, u64);

/// One look, and all that comes of it.
struct Pass<'a> {
    /// Takes and acknowledges. What is not acknowledged returns to the queue when it is closed.
    taking: Channel,
    /// Whether the channel `taking` holds messages whose copies RabbitMQ refused, one that is too large, say. They stay unacknowledged on it until it is closed:
    /// back at the head of the retry queue they would hold up all messages behind them.
    is_holding: bool,
    /// Opened when there is something to send: a broker that is short of memory or disk reads nothing more from who publishes.
    publisher: Option<(Channel, usize)>,
    connection: Broker,
    wait_ms: u32,
    moved: &'a mut usize,
}

impl Pass<'_> {
    /// Looks. `holding` is the channel that has messages which earlier looks could not send, or this one can't.
    async fn run(
        broker: &Broker,
        wait_ms: u32,
        holding: &mut Option<Channel>,
        moved: &mut usize,
    ) -> Result<(), String> {
        let (taking, is_holding) = match holding.take() {
            Some(open) if open.is_open() => (open, true),
            _ => (broker.another_channel().await?, false),
        };
        let connection = broker.sibling("customer-service consumer: shorter waits");
        let mut pass = Pass { taking, is_holding, publisher: None, connection, wait_ms, moved };
        let looked = pass.go_on().await;
        pass.connection.close().await;
        *holding = pass.is_holding.then_some(pass.taking);
        looked
    }

    /// Goes on until the next message waits no longer than it should, or the broker does not take a message that is not to blame.
    async fn go_on(&mut self) -> Result<(), String> {
        let mut refused = None;
        loop {
            let (batch, is_last) = self.take().await?;
            let mut sent = Vec::new();
            let told = self.send_all(&batch, &mut sent).await;
            in_time("take an answer", self.taking.acknowledge(&sent)).await?;
            *self.moved += sent.len();
            if sent.len() < batch.len() {
                self.is_holding = is_over_a_message(&told);
                let why = told.map_or_else(
                    |failure| failure.to_string(),
                    |()| format!("{RETRY_QUEUE} does not take what was sent to {RETRY_EXCHANGE}"),
                );
                if !self.is_holding {
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
    async fn take(&self) -> Result<(Vec<Copied>, bool), String> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let Some(delivery) = in_time("answer", self.first()).await? else {
                return Ok((batch, true));
            };
            let now = OffsetDateTime::now_utc();
            let Some(wait) = shorter_wait(&delivery, self.wait_ms, now) else {
                let tag = delivery.envelope.tag;
                in_time("take an answer", self.taking.return_to_queue(&[tag])).await?;
                return Ok((batch, true));
            };
            bytes += delivery.weight();
            batch.push((delivery, wait));
        }
        Ok((batch, false))
    }

    /// The message at the head; none as well where there is no such queue, or the consumer may not read it and can't help.
    async fn first(&self) -> Result<Option<Delivery>, Failure> {
        match self.taking.get(RETRY_QUEUE).await {
            Err(Failure::Refused(Goodbye { code: ACCESS_REFUSED | NOT_FOUND, said })) => {
                tracing::debug!(said, "can't look into {RETRY_QUEUE}");
                Ok(None)
            }
            got => got,
        }
    }

    /// Sends messages, and adds the tags of those that the broker has confirmed to `sent`.
    ///
    /// # Errors
    /// When the broker closed the channel over one of them, or did not tell of some: whether those arrived is unknown.
    async fn send_all(&mut self, batch: &[Copied], sent: &mut Vec<u64>) -> Result<(), Failure> {
        let mut told = self.send(batch, sent).await;
        if batch.len() > 1 && is_over_a_message(&told) {
            // The others are not to blame.
            for one in batch {
                if sent.contains(&one.0.envelope.tag) {
                    continue;
                }
                match self.send(slice::from_ref(one), sent).await {
                    Ok(()) => (),
                    refused @ Err(Failure::Refused(_)) => told = refused,
                    lost => return lost,
                }
            }
        }
        told
    }

    async fn send(&mut self, batch: &[Copied], sent: &mut Vec<u64>) -> Result<(), Failure> {
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
                republish::message(delivery, &properties, QUEUE)
            })
            .collect();
        let exchange = RETRY_EXCHANGE.into();
        let told = timeout(CONFIRM_LIMIT, channel.publish(&exchange, &messages)).await;
        let before = sent.len();
        for ((delivery, _), outcome) in batch.iter().zip(channel.outcomes(&messages)) {
            if outcome == Some(Outcome::Confirmed) {
                sent.push(delivery.envelope.tag);
            }
        }
        if sent.len() - before == batch.len() {
            self.publisher = Some((channel, frame_max));
        }
        told.unwrap_or_else(|_| {
            Err(Failure::Lost(format!("the broker takes longer than {CONFIRM_LIMIT:?} to confirm")))
        })
    }

    async fn open(&mut self) -> Result<(Channel, usize), String> {
        let (channel, frame_max) = self.connection.channel().await?;
        in_time("answer", channel.confirm()).await?;
        Ok((channel, frame_max))
    }
}

/// Whether the broker closed the channel over what a message is, and not over where it was sent.
fn is_over_a_message(told: &Result<(), Failure>) -> bool {
    matches!(told, Err(Failure::Refused(Goodbye { code, .. })) if !matches!(*code, ACCESS_REFUSED | NOT_FOUND))
}

/// How many milliseconds a message is to wait from now on; none when it waits no longer than `wait_ms` anyway.
///
/// Its `expiration` says how long it was to wait in all. Since when it does, the header `x-last-failed-at` says; where that is missing or makes no sense, or the
/// message has no expiration, as others may have sent it, it begins anew.
pub(super) fn shorter_wait(delivery: &Delivery, wait_ms: u32, now: OffsetDateTime) -> Option<u64> {
    let wait = u64::from(wait_ms);
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
        let routing_key = QUEUE.to_owned();
        let exchange = RETRY_EXCHANGE.to_owned();
        let envelope = Envelope { tag: 1, redelivered: false, exchange, routing_key };
        let header = content_header(0, &properties);
        shorter_wait(&Delivery::new(envelope, header, Vec::new().into()), 10_000, NOON)
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
