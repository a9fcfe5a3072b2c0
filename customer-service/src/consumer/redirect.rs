//! Messages that are moved to the retry or the dead-letter queue: published with confirm and `mandatory`, all at once, before the originals
//! are acknowledged. A crash in between gives duplicates, never a loss.

use amq_protocol::protocol::BasicProperties;
use service_kit::amqp::{Channel, Delivery, Failure, Goodbye, Message, Outcome};
use time::OffsetDateTime;
use tokio::time::timeout;
use tracing::field::display;

use super::broker::{ACCESS_REFUSED, CONFIRM_TIMEOUT, NOT_FOUND};
use super::config::SubscriptionArgs;
use super::headers::{self, RETRY_COUNT, TRIES};
use super::metrics;
use super::republish::{self, FRAME_OVERHEAD};
use super::retry_policy::{Destination, FailureKind, retry_count};
use super::spans::{event_id, trace_id};
use super::topology::WORK_QUEUE;

/// The broker's answer to a message that the consumer published to the retry or the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublishOutcome {
    /// Nobody knows, or nobody has tried yet.
    Unknown,
    /// The broker has it where it is to go.
    Confirmed,
    /// The broker did not take it, and why.
    Refused(String),
    /// Where it is to go is missing, and why: declaring everything anew may help.
    Unroutable(String),
}

/// A message to be moved.
pub(super) struct Redirect<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) reason: String,
    pub(super) destination: Destination,
    pub(super) outcome: PublishOutcome,
    /// Why the dead-letter queue did not take it.
    pub(super) refused_dead_letter: Option<String>,
}

impl<'a> Redirect<'a> {
    pub(super) fn new(
        delivery: &'a Delivery,
        reason: String,
        failure: FailureKind,
        max_retries: u32,
    ) -> Self {
        let destination = Destination::of(failure, retry_count(delivery), max_retries);
        let outcome = PublishOutcome::Unknown;
        Self { delivery, reason, destination, outcome, refused_dead_letter: None }
    }

    /// Counts a message that no queue takes as refused, unless the consumer may declare its queues anew (`may_redeclare`).
    pub(super) fn refuse_unroutable(&mut self, may_redeclare: bool) {
        if let (PublishOutcome::Unroutable(why), false) = (&self.outcome, may_redeclare) {
            self.outcome = PublishOutcome::Refused(why.clone());
        }
    }

    /// A message that the dead-letter queue does not take waits with those that are tried again, and is not charged for it.
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

    /// Whether the consumer has yet to publish this message to `exchange`.
    pub(super) fn is_pending_for(&self, exchange: &str) -> bool {
        self.exchange() == exchange && self.outcome == PublishOutcome::Unknown
    }

    pub(super) const fn exchange(&self) -> &'static str {
        self.destination.exchange()
    }

    /// Counts the message in the metrics and logs it, if the broker took it.
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
pub(super) enum PublishEnd {
    /// It told of each.
    Answered,
    /// It closed the channel over one of them: those whose outcome is unknown are to be sent one by one.
    ChannelClosed,
}

/// Publishes those of `redirects` to `exchange` that go there and are not there yet, and waits until the broker has told of each.
///
/// # Errors
/// With the reason when it did not tell of some: whether they arrived is unknown then.
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

/// What becomes of a message that the broker had not told of when it closed the channel.
fn after_close(exchange: &str, Goodbye { code, said }: &Goodbye, is_alone: bool) -> PublishOutcome {
    match *code {
        NOT_FOUND => PublishOutcome::Unroutable(said.clone()),
        ACCESS_REFUSED => {
            PublishOutcome::Refused(format!("the exchange {exchange} takes nothing: {said}"))
        }
        _ if is_alone => PublishOutcome::Refused(format!("the broker refuses the message: {said}")),
        _ => PublishOutcome::Unknown,
    }
}

fn message(
    one: &Redirect<'_>,
    now: OffsetDateTime,
    args: &SubscriptionArgs,
    room: usize,
) -> Message {
    let properties = properties(one, now, args, room);
    republish::message(one.delivery, &properties, WORK_QUEUE)
}

/// The original's properties, with our headers.
fn properties(
    one: &Redirect<'_>,
    now: OffsetDateTime,
    args: &SubscriptionArgs,
    room: usize,
) -> BasicProperties {
    let copy = republish::properties(one.delivery);
    let (copy, own) = match one.destination {
        Destination::Retry { count } => {
            let wait = args.rabbitmq_retry_ttl_ms.to_string();
            (copy.with_expiration(wait.into()), vec![(RETRY_COUNT, count)])
        }
        Destination::DeadLetter { tries } => (copy, vec![(RETRY_COUNT, tries - 1), (TRIES, tries)]),
    };
    copy.with_headers(headers::for_redirect(one.delivery, &one.reason, now, &own, room))
}
