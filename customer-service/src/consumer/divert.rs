//! Messages that are moved to the retry or the dead-letter queue: published with confirm and `mandatory`, all at once, before the originals
//! are acknowledged. A crash in between gives duplicates, never a loss.

use std::time::Duration;

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::ShortString;
use service_kit::amqp::{Channel, Delivery, Failure, Goodbye, Message, Outcome, content_header};
use time::OffsetDateTime;
use tokio::time::timeout;
use tracing::field::display;

use super::config::IntakeArgs;
use super::headers::{self, RETRY_COUNT, TRIES};
use super::metrics;
use super::topology::{
    DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, QUEUE, RETRY_EXCHANGE, RETRY_QUEUE,
};
use super::traced::{event_id, trace_id};

/// How long the broker may take to confirm a batch of moves. Long, since a broker that is short of memory or disk reads nothing
/// for a while, and later all that was sent: each new try would be one more copy. A broker that is gone is noticed by its heartbeats.
const CONFIRM_LIMIT: Duration = Duration::from_secs(60);

/// The broker's word for what is not there (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
const NOT_FOUND: u16 = 404;

/// What a frame needs besides the headers: other properties, each at most 255 bytes.
const FRAME_OVERHEAD: usize = 4096;

/// Whether another try may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hope {
    /// It may: the message is tried again as many times as the settings say.
    Later,
    /// It will, and nothing is wrong with the message: it is tried again without being charged for it.
    Unchanged,
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

/// What became of a message that was to be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody knows, or nobody has tried yet.
    Unknown,
    /// The broker has it where it is to go.
    Moved,
    /// The broker did not take it, and why.
    Refused(String),
    /// Where it is to go is not there, and why: it may be when all is declared anew.
    Unroutable(String),
}

/// A message to be moved.
pub(super) struct Move<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) reason: String,
    pub(super) destination: Destination,
    pub(super) fate: Fate,
    /// Why the dead-letter queue did not take it.
    pub(super) put_off: Option<String>,
}

impl<'a> Move<'a> {
    pub(super) fn new(
        delivery: &'a Delivery,
        reason: String,
        hope: Hope,
        max_retries: u32,
    ) -> Self {
        let retries = headers::retry_count(delivery);
        let destination = match hope {
            Hope::Unchanged => Destination::Retry { count: retries },
            Hope::Later if retries < max_retries => Destination::Retry { count: retries + 1 },
            _ => Destination::DeadLetter { tries: retries.saturating_add(1) },
        };
        Self { delivery, reason, destination, fate: Fate::Unknown, put_off: None }
    }

    /// A message that the dead-letter queue does not take waits with those that are tried again, and is not charged for it.
    pub(super) fn put_off(&mut self) {
        if let (Destination::DeadLetter { tries }, Fate::Refused(why)) =
            (self.destination, &self.fate)
        {
            self.reason = format!("{}; {why}", self.reason);
            self.put_off = Some(why.clone());
            self.destination = Destination::Retry { count: tries.saturating_sub(1) };
            self.fate = Fate::Unknown;
        }
    }

    pub(super) const fn exchange(&self) -> &'static str {
        match self.destination {
            Destination::Retry { .. } => RETRY_EXCHANGE,
            Destination::DeadLetter { .. } => DEAD_LETTER_EXCHANGE,
        }
    }

    /// Tells metrics and log.
    pub(super) fn report(&self) {
        let event_id = event_id(self.delivery);
        let trace_id = trace_id(self.delivery).map(display);
        if self.put_off.is_some() {
            tracing::warn!(
                event_id,
                trace_id,
                reason = self.reason,
                "a message can't be dead-lettered: it is tried again"
            );
        }
        if let Fate::Refused(why) = &self.fate {
            tracing::warn!(
                event_id,
                trace_id,
                reason = self.reason,
                why,
                "a message has nowhere to go: it is kept for a while"
            );
        }
        if self.fate != Fate::Moved {
            return;
        }
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

/// Publishes those of `moves` to `exchange` that go there and are not there yet, and waits until the broker has told of each.
///
/// # Errors
/// With the reason when it did not tell of some: whether they arrived is unknown then.
pub(super) async fn publish(
    channel: &Channel,
    exchange: &str,
    moves: &mut [Move<'_>],
    args: &IntakeArgs,
    frame_max: usize,
) -> Result<(), String> {
    let now = OffsetDateTime::now_utc();
    let room = frame_max.saturating_sub(FRAME_OVERHEAD);
    let is_next = |one: &&mut Move<'_>| one.exchange() == exchange && one.fate == Fate::Unknown;
    let mut there: Vec<_> = moves.iter_mut().filter(is_next).collect();
    let messages: Vec<Message> = there.iter().map(|one| message(one, now, args, room)).collect();
    let published = timeout(CONFIRM_LIMIT, channel.publish(&exchange.into(), &messages)).await;
    // The broker closed the channel over all that it did not tell of.
    let closed = match &published {
        Ok(Err(Failure::Refused(Goodbye { code: NOT_FOUND, said }))) => {
            Fate::Unroutable(said.clone())
        }
        Ok(Err(Failure::Refused(Goodbye { said, .. }))) => {
            Fate::Refused(format!("the exchange {exchange} takes nothing: {said}"))
        }
        _ => Fate::Unknown,
    };
    let queue = if exchange == RETRY_EXCHANGE { RETRY_QUEUE } else { DEAD_LETTER_QUEUE };
    for (one, outcome) in there.iter_mut().zip(channel.outcomes(&messages)) {
        one.fate = match outcome {
            Some(Outcome::Confirmed) => Fate::Moved,
            Some(Outcome::Returned(why)) => Fate::Unroutable(format!(
                "the exchange {exchange} leads to no queue ({}): is {queue} there and bound?",
                why.reply_text
            )),
            Some(Outcome::Nacked) => {
                Fate::Refused(format!("the queue {queue} refuses messages: is it full?"))
            }
            None => closed.clone(),
        };
    }
    match published {
        Ok(Ok(()) | Err(Failure::Refused(_))) => Ok(()),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(_) => Err(format!("the broker takes longer than {CONFIRM_LIMIT:?} to confirm")),
    }
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
