//! Moves messages to the retry or the dead-letter queue: published with confirm and `mandatory`, all at once, before the originals are
//! acknowledged. A crash in between gives duplicates, never a loss.

use std::time::Duration;

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::ShortString;
use service_kit::amqp::{Channel, Delivery, Message, Outcome, content_header};
use time::OffsetDateTime;
use tokio::time::timeout;
use tracing::field::display;

use super::config::IntakeArgs;
use super::headers::{self, RETRY_COUNT, TRIES};
use super::metrics;
use super::topology::{DEAD_LETTER_EXCHANGE, QUEUE, RETRY_EXCHANGE};
use super::traced::{event_id, trace_id};

/// How long the broker may take to confirm a batch of moves. Long, since a broker that is short of memory or disk reads nothing
/// for a while, and later all that was sent: each new try would be one more copy. A broker that is gone is noticed by its heartbeats.
const CONFIRM_LIMIT: Duration = Duration::from_secs(60);

/// What a frame needs besides the headers: other properties, each at most 255 bytes.
const FRAME_OVERHEAD: usize = 4096;

/// Whether another try may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hope {
    /// It may: the message is tried again as many times as the settings say.
    Later,
    /// It can't: the message can never be processed.
    Never,
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// To wait, and to be tried for the time after `count` retries.
    Retry { count: u32 },
    /// To a person, after so many tries.
    DeadLetter { tries: u32 },
}

/// A message to be moved.
pub(super) struct Move<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) reason: String,
    pub(super) destination: Destination,
}

impl<'a> Move<'a> {
    pub(super) fn new(
        delivery: &'a Delivery,
        reason: String,
        hope: Hope,
        max_retries: u32,
    ) -> Self {
        let retries = headers::retry_count(delivery);
        let destination = if hope == Hope::Later && retries < max_retries {
            Destination::Retry { count: retries + 1 }
        } else {
            Destination::DeadLetter { tries: retries.saturating_add(1) }
        };
        Self { delivery, reason, destination }
    }

    const fn exchange(&self) -> &'static str {
        match self.destination {
            Destination::Retry { .. } => RETRY_EXCHANGE,
            Destination::DeadLetter { .. } => DEAD_LETTER_EXCHANGE,
        }
    }

    /// Tells metrics and log that it was moved.
    pub(super) fn report(&self) {
        let event_id = event_id(self.delivery);
        let trace_id = trace_id(self.delivery).map(display);
        match self.destination {
            Destination::Retry { count } => {
                metrics::events("retried", 1);
                tracing::debug!(
                    event_id,
                    trace_id,
                    retry = count,
                    reason = self.reason,
                    "sent an event to be tried again"
                );
            }
            Destination::DeadLetter { tries } => {
                metrics::events("dead_lettered", 1);
                tracing::warn!(
                    event_id,
                    trace_id,
                    tries,
                    reason = self.reason,
                    "sent a message to the dead-letter queue"
                );
            }
        }
    }
}

/// Publishes all `moves` and waits until the broker has confirmed each of them and returned none.
///
/// # Errors
/// With the reason; which of them arrived is unknown then, and no original may be acknowledged.
pub(super) async fn divert(
    channel: &Channel,
    moves: &[Move<'_>],
    args: &IntakeArgs,
    frame_max: usize,
) -> Result<(), String> {
    if moves.is_empty() {
        return Ok(());
    }
    let now = OffsetDateTime::now_utc();
    let room = frame_max.saturating_sub(FRAME_OVERHEAD);
    for exchange in [RETRY_EXCHANGE, DEAD_LETTER_EXCHANGE] {
        let there = moves.iter().filter(|one| one.exchange() == exchange);
        let messages: Vec<Message> = there.map(|one| message(one, now, args, room)).collect();
        publish(channel, exchange, &messages).await?;
    }
    Ok(())
}

async fn publish(channel: &Channel, exchange: &str, messages: &[Message]) -> Result<(), String> {
    if messages.is_empty() {
        return Ok(());
    }
    timeout(CONFIRM_LIMIT, channel.publish(&exchange.into(), messages))
        .await
        .map_err(|_| format!("the broker takes longer than {CONFIRM_LIMIT:?} to confirm"))?
        .map_err(|failure| failure.to_string())?;
    for outcome in channel.outcomes(messages) {
        match outcome {
            Some(Outcome::Confirmed) => (),
            Some(Outcome::Returned(why)) => {
                let said = why.reply_text;
                return Err(format!("the exchange {exchange} leads to no queue: {said}"));
            }
            Some(Outcome::Nacked) | None => {
                return Err(
                    "the broker refused a message for a retry or dead-letter queue".to_owned()
                );
            }
        }
    }
    Ok(())
}

fn message(one: &Move<'_>, now: OffsetDateTime, args: &IntakeArgs, room: usize) -> Message {
    let properties = properties(one, now, args, room);
    let body = &one.delivery.body;
    // That of the copy, not of the original: by it a returned message is recognised.
    let message_id = properties.message_id().as_ref().map_or("", ShortString::as_str).to_owned();
    Message {
        message_id,
        routing_key: QUEUE.into(),
        content_header: content_header(body.len(), &properties),
        body: body.clone(),
    }
}

/// The original's properties, with our headers. The user goes: the broker accepts none but our own.
fn properties(
    one: &Move<'_>,
    now: OffsetDateTime,
    args: &IntakeArgs,
    room: usize,
) -> BasicProperties {
    const PERSISTENT: u8 = 2;
    let original = one.delivery.properties();
    let copied = |value: &Option<ShortString>,
                  with: fn(BasicProperties, ShortString) -> BasicProperties,
                  to| match value {
        Some(value) => with(to, value.clone()),
        None => to,
    };
    let mut copy = BasicProperties::default().with_delivery_mode(PERSISTENT);
    copy = copied(original.content_type(), BasicProperties::with_content_type, copy);
    copy = copied(original.content_encoding(), BasicProperties::with_content_encoding, copy);
    copy = copied(original.correlation_id(), BasicProperties::with_correlation_id, copy);
    copy = copied(original.reply_to(), BasicProperties::with_reply_to, copy);
    copy = copied(original.message_id(), BasicProperties::with_message_id, copy);
    copy = copied(original.kind(), BasicProperties::with_type, copy);
    copy = copied(original.app_id(), BasicProperties::with_app_id, copy);
    if let Some(priority) = original.priority() {
        copy = copy.with_priority(*priority);
    }
    if let Some(timestamp) = original.timestamp() {
        copy = copy.with_timestamp(*timestamp);
    }
    let own = match one.destination {
        Destination::Retry { count } => {
            copy = copy.with_expiration(args.rabbitmq_retry_ttl_ms.to_string().into());
            vec![(RETRY_COUNT, count)]
        }
        Destination::DeadLetter { tries } => vec![(RETRY_COUNT, tries - 1), (TRIES, tries)],
    };
    copy.with_headers(headers::of_copy(one.delivery, &one.reason, now, &own, room))
}
