//! Messages that are moved to the retry or the dead-letter queue: published with confirm and `mandatory`, all at once, before the originals
//! are acknowledged. A crash in between gives duplicates, never a loss.

use amq_protocol::protocol::BasicProperties;
use service_kit::amqp::{Channel, Delivery, Failure, Goodbye, Message, Outcome};
use time::OffsetDateTime;
use tokio::time::timeout;
use tracing::field::display;

use super::broker::CONFIRM_LIMIT;
use super::config::SubscriptionArgs;
use super::copy::{self, FRAME_OVERHEAD};
use super::headers::{self, RETRY_COUNT, TRIES};
use super::metrics;
use super::spans::{event_id, trace_id};
use super::topology::{
    ACCESS_REFUSED, DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, NOT_FOUND, QUEUE, RETRY_EXCHANGE,
    RETRY_QUEUE,
};

/// Whether another try may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hope {
    /// It may: the message is tried again as many times as the settings say.
    Later,
    /// It will, once a lock is gone, for instance: the message goes to the retry queue with the retry count that it has.
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

/// The broker's answer to a message that the consumer published to the retry or the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody knows, or nobody has tried yet.
    Unknown,
    /// The broker has it where it is to go.
    Moved,
    /// The broker did not take it, and why.
    Refused(String),
    /// Where it is to go is missing, and why: declaring everything anew may help.
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

    /// Counts a message that no queue takes as refused, unless the consumer may declare its queues anew (`may_declare`).
    pub(super) fn decide(&mut self, may_declare: bool) {
        if let (Fate::Unroutable(why), false) = (&self.fate, may_declare) {
            self.fate = Fate::Refused(why.clone());
        }
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

    /// Whether the consumer has yet to publish this message to `exchange`.
    pub(super) fn goes_to(&self, exchange: &str) -> bool {
        self.exchange() == exchange && self.fate == Fate::Unknown
    }

    pub(super) const fn exchange(&self) -> &'static str {
        match self.destination {
            Destination::Retry { .. } => RETRY_EXCHANGE,
            Destination::DeadLetter { .. } => DEAD_LETTER_EXCHANGE,
        }
    }

    /// Counts the message in the metrics and logs it, if the broker took it.
    pub(super) fn report(&self) {
        if self.fate != Fate::Moved {
            return;
        }
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

/// How the broker took messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It told of each.
    Told,
    /// It closed the channel over one of them: those whose fate is unknown are to be sent one by one.
    Closed,
}

/// Publishes those of `moves` to `exchange` that go there and are not there yet, and waits until the broker has told of each.
///
/// # Errors
/// With the reason when it did not tell of some: whether they arrived is unknown then.
pub(super) async fn publish(
    channel: &Channel,
    exchange: &str,
    moves: &mut [Move<'_>],
    args: &SubscriptionArgs,
    frame_max: usize,
) -> Result<Taken, String> {
    let now = OffsetDateTime::now_utc();
    let room = frame_max.saturating_sub(FRAME_OVERHEAD);
    let mut there: Vec<_> = moves.iter_mut().filter(|one| one.goes_to(exchange)).collect();
    let messages: Vec<Message> = there.iter().map(|one| message(one, now, args, room)).collect();
    let published = timeout(CONFIRM_LIMIT, channel.publish(&exchange.into(), &messages)).await;
    let goodbye = match &published {
        Ok(Err(Failure::Refused(goodbye))) => Some(goodbye),
        _ => None,
    };
    let is_alone = there.len() == 1;
    for (one, outcome) in there.iter_mut().zip(channel.outcomes(&messages)) {
        one.fate = match outcome {
            Some(Outcome::Confirmed) => Fate::Moved,
            Some(Outcome::Returned(why)) => {
                let queue = queue_behind(exchange);
                let not_declared = if args.consumer_declare {
                    ""
                } else {
                    " The consumer declares neither, as CONSUMER_DECLARE=false says."
                };
                Fate::Unroutable(format!(
                    "the exchange {exchange} leads to no queue ({}): is {queue} there and bound?{not_declared}",
                    why.reply_text
                ))
            }
            Some(Outcome::Nacked) => {
                let queue = queue_behind(exchange);
                Fate::Refused(format!("the queue {queue} refuses messages: is it full?"))
            }
            None => goodbye.map_or(Fate::Unknown, |goodbye| closed(exchange, goodbye, is_alone)),
        };
    }
    match published {
        Ok(Err(Failure::Refused(_))) => Ok(Taken::Closed),
        Ok(Ok(())) => Ok(Taken::Told),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(_) => Err(format!("the broker takes longer than {CONFIRM_LIMIT:?} to confirm")),
    }
}

/// What becomes of a message that the broker had not told of when it closed the channel.
fn closed(exchange: &str, Goodbye { code, said }: &Goodbye, is_alone: bool) -> Fate {
    match *code {
        NOT_FOUND => Fate::Unroutable(said.clone()),
        ACCESS_REFUSED => Fate::Refused(format!("the exchange {exchange} takes nothing: {said}")),
        _ if is_alone => Fate::Refused(format!("the broker refuses the message: {said}")),
        _ => Fate::Unknown,
    }
}

fn queue_behind(exchange: &str) -> &'static str {
    if exchange == RETRY_EXCHANGE { RETRY_QUEUE } else { DEAD_LETTER_QUEUE }
}

fn message(one: &Move<'_>, now: OffsetDateTime, args: &SubscriptionArgs, room: usize) -> Message {
    let properties = properties(one, now, args, room);
    copy::message(one.delivery, &properties, QUEUE)
}

/// The original's properties, with our headers.
fn properties(
    one: &Move<'_>,
    now: OffsetDateTime,
    args: &SubscriptionArgs,
    room: usize,
) -> BasicProperties {
    let copy = copy::properties(one.delivery);
    let (copy, own) = match one.destination {
        Destination::Retry { count } => {
            let wait = args.rabbitmq_retry_ttl_ms.to_string();
            (copy.with_expiration(wait.into()), vec![(RETRY_COUNT, count)])
        }
        Destination::DeadLetter { tries } => (copy, vec![(RETRY_COUNT, tries - 1), (TRIES, tries)]),
    };
    copy.with_headers(headers::of_copy(one.delivery, &one.reason, now, &own, room))
}
