//! Publishes messages to the retry or the dead-letter queue, with confirms and `mandatory`, before
//! the originals are acknowledged. A crash in between duplicates messages, and loses none.

use amq_protocol::protocol::BasicProperties;
use amqp::{Channel, CloseReason, Delivery, Failure, Message, Outcome};
use time::OffsetDateTime;
use tokio::time::timeout;
use tracing::field::display;

use super::broker::{ACCESS_REFUSED, CONFIRM_TIMEOUT, NOT_FOUND};
use super::config::SubscriptionArgs;
use super::headers::{self, RETRY_COUNT, TRIES};
use super::message_copy::{self, FRAME_OVERHEAD};
use super::metrics;
use super::retry_policy::{Destination, FailureKind};
use super::spans::{event_id, trace_id};
use super::topology::WORK_QUEUE;

/// The broker's answer to a published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublishOutcome {
    /// Not published yet, or published without an answer.
    Unknown,
    /// The queue has it.
    Confirmed,
    /// The broker refused it, and why.
    Refused(String),
    /// No queue is bound, and the broker's text. Declaring the topology again may help.
    Unroutable(String),
}

/// What to do with a message for which no queue is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnUnroutable {
    /// Report it, so that the consumer declares its topology again.
    Redeclare,
    /// Treat it like a refused message.
    Refuse,
}

/// A message on its way to the retry or the dead-letter queue.
pub(super) struct Redirect<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) reason: String,
    pub(super) destination: Destination,
    pub(super) outcome: PublishOutcome,
    /// Why the dead-letter queue refused it, if it did.
    pub(super) refused_dead_letter: Option<String>,
}

impl<'a> Redirect<'a> {
    pub(super) fn new(
        delivery: &'a Delivery,
        reason: String,
        failure: FailureKind,
        max_retries: u32,
    ) -> Self {
        let destination = Destination::of(failure, headers::retry_count(delivery), max_retries);
        let outcome = PublishOutcome::Unknown;
        Self { delivery, reason, destination, outcome, refused_dead_letter: None }
    }

    /// Applies `on_unroutable` to this message.
    pub(super) fn resolve_unroutable(&mut self, on_unroutable: OnUnroutable) {
        if let (PublishOutcome::Unroutable(why), OnUnroutable::Refuse) =
            (&self.outcome, on_unroutable)
        {
            self.outcome = PublishOutcome::Refused(why.clone());
        }
    }

    /// Sends a message that the dead-letter queue refused to the retry queue, without charging a
    /// retry.
    pub(super) fn fall_back_to_retry(&mut self) {
        if let (Destination::DeadLetter { tries }, PublishOutcome::Refused(why)) =
            (self.destination, &self.outcome)
        {
            self.reason = format!("{}; {why}", self.reason);
            self.refused_dead_letter = Some(why.clone());
            self.destination = Destination::Retry { count: tries.saturating_sub(1) };
            self.outcome = PublishOutcome::Unknown;
        }
    }

    /// Whether this message is still to be published to `exchange`.
    pub(super) fn is_pending_for(&self, exchange: &str) -> bool {
        self.exchange() == exchange && self.outcome == PublishOutcome::Unknown
    }

    pub(super) const fn exchange(&self) -> &'static str {
        self.destination.exchange()
    }

    /// Counts and logs the message, if it was redirected.
    pub(super) fn report(&self) {
        if self.outcome != PublishOutcome::Confirmed {
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
                    "sent a message to the retry queue"
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

/// How publishing some messages ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PublishEnd {
    /// The broker answered for each message.
    Answered,
    /// The broker closed the channel over one message: those without an answer must be published
    /// one by one.
    ChannelClosed,
}

/// Publishes those of `redirects` that are still to be published to `exchange`, and waits for the
/// broker's answers.
///
/// # Errors
/// Returns why some messages have no answer. Whether they arrived is unknown.
pub(super) async fn publish(
    channel: &Channel,
    exchange: &str,
    redirects: &mut [Redirect<'_>],
    args: &SubscriptionArgs,
    frame_max: usize,
) -> Result<PublishEnd, String> {
    let now = OffsetDateTime::now_utc();
    let room = frame_max.saturating_sub(FRAME_OVERHEAD);
    let mut pending: Vec<_> =
        redirects.iter_mut().filter(|one| one.is_pending_for(exchange)).collect();
    let messages: Vec<Message> = pending.iter().map(|one| message(one, now, args, room)).collect();
    let published = timeout(CONFIRM_TIMEOUT, channel.publish(&exchange.into(), &messages)).await;
    let refusal = match &published {
        Ok(Err(Failure::Refused(refusal))) => Some(refusal),
        _ => None,
    };
    let is_alone = pending.len() == 1;
    for (one, outcome) in pending.iter_mut().zip(channel.outcomes(&messages)) {
        one.outcome = match outcome {
            Some(Outcome::Confirmed) => PublishOutcome::Confirmed,
            Some(Outcome::Returned(why)) => {
                let queue = one.destination.queue();
                let not_declared = if args.consumer_declare {
                    ""
                } else {
                    " The consumer declares neither, as CONSUMER_DECLARE=false says."
                };
                PublishOutcome::Unroutable(format!(
                    "the exchange {exchange} leads to no queue ({}): is {queue} there and bound?{not_declared}",
                    why.reply_text
                ))
            }
            Some(Outcome::Nacked) => {
                let queue = one.destination.queue();
                PublishOutcome::Refused(format!("the queue {queue} refuses messages: is it full?"))
            }
            None => refusal.map_or(PublishOutcome::Unknown, |refusal| {
                after_close(exchange, refusal, is_alone)
            }),
        };
    }
    match published {
        Ok(Err(Failure::Refused(_))) => Ok(PublishEnd::ChannelClosed),
        Ok(Ok(())) => Ok(PublishEnd::Answered),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(_) => Err(format!("the broker takes longer than {CONFIRM_TIMEOUT:?} to confirm")),
    }
}

/// The outcome of a message that had no answer when the broker closed the channel.
fn after_close(
    exchange: &str,
    CloseReason { code, text }: &CloseReason,
    is_alone: bool,
) -> PublishOutcome {
    match *code {
        NOT_FOUND => PublishOutcome::Unroutable(text.clone()),
        ACCESS_REFUSED => {
            PublishOutcome::Refused(format!("the exchange {exchange} takes nothing: {text}"))
        }
        _ if is_alone => PublishOutcome::Refused(format!("the broker refuses the message: {text}")),
        _ => PublishOutcome::Unknown,
    }
}

/// Makes the message that is published.
pub(super) fn message(
    one: &Redirect<'_>,
    now: OffsetDateTime,
    args: &SubscriptionArgs,
    room: usize,
) -> Message {
    let properties = properties(one, now, args, room);
    message_copy::message(one.delivery, &properties, WORK_QUEUE)
}

/// The original's properties with the consumer's headers.
fn properties(
    one: &Redirect<'_>,
    now: OffsetDateTime,
    args: &SubscriptionArgs,
    room: usize,
) -> BasicProperties {
    let copy = message_copy::properties(one.delivery);
    let (copy, own) = match one.destination {
        Destination::Retry { count } => {
            let wait = args.rabbitmq_retry_ttl_ms.to_string();
            (copy.with_expiration(wait.into()), vec![(RETRY_COUNT, count)])
        }
        Destination::DeadLetter { tries } => (copy, vec![(RETRY_COUNT, tries - 1), (TRIES, tries)]),
    };
    copy.with_headers(headers::for_redirect(one.delivery, &one.reason, now, &own, room))
}
