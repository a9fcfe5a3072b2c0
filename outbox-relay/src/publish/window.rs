//! One window of messages: sent without waiting, then confirmed, one verdict each.

use std::time::Duration;

use amq_protocol::types::ShortString;
use amqp::{CloseReason, Failure, Outcome, Return};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::Publisher;
use crate::publish::message::Message;
use crate::publish::refusals;
use crate::publish::verdict::{FailureCause, Verdict};

/// How often to check whether the broker blocks publishers, while confirms are awaited.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// Why nothing is confirmed, when the broker has said so.
pub(crate) const BLOCKED: &str = "the broker has told publishers to wait (memory or disk alarm)";

/// How long to wait for confirms.
#[derive(Debug, Clone)]
pub(crate) struct Deadlines {
    /// Longest wait for a window's confirms, not counting the time for which the broker blocks
    /// publishers.
    pub(crate) confirm: Duration,
    /// Cancelled when the relay is told to stop.
    pub(crate) stop: CancellationToken,
    /// Longest wait from that moment on.
    pub(crate) drain: Duration,
}

impl Deadlines {
    /// Completes when a deadline has passed. Returns which one, in words.
    async fn passed(&self, publisher: &Publisher) -> String {
        tokio::select! {
            () = self.confirm_overdue(publisher) => {
                let limit = humantime::format_duration(self.confirm);
                format!("the broker did not confirm a window within {limit}")
            }
            () = async { self.stop.cancelled().await; tokio::time::sleep(self.drain).await } => {
                "the broker did not confirm the last window in time".to_owned()
            }
        }
    }

    /// Completes when the broker could have confirmed and did not. While it blocks the connection
    /// nothing can be written, not even a close: a new connection would send messages besides those
    /// that the old one still holds. If the broker is gone meanwhile, its missing heartbeats end
    /// the connection, and the wait with it.
    async fn confirm_overdue(&self, publisher: &Publisher) {
        let mut end = Instant::now() + self.confirm;
        loop {
            let now = Instant::now();
            if publisher.is_blocked() {
                end = now + self.confirm;
            } else if now >= end {
                return;
            }
            tokio::time::sleep_until(end.min(now + CHECK_EVERY)).await;
        }
    }
}

/// How a window ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WindowEnd {
    /// Every message was confirmed, nacked or returned.
    Complete,
    /// The broker closed the channel over one of the messages, with this reply.
    ChannelClosed(CloseReason),
    /// Nothing further can be sent.
    Lost(Loss),
}

/// Why nothing further can be sent over a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It is lost, or the broker does not answer.
    Connection(String),
    /// The broker did not confirm in time.
    Unconfirmed(String),
    /// The broker closed it over a message, of this window or of another one, with this reply.
    OverMessage(CloseReason),
}

impl Loss {
    /// The reason, in words.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Connection(reason) | Self::Unconfirmed(reason) => reason,
            Self::OverMessage(reason) => &reason.text,
        }
    }
}

impl From<Failure> for WindowEnd {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(reason) => Self::ChannelClosed(reason),
            Failure::Closed(reason) if refusals::is_over_frames(&reason) => {
                Self::Lost(Loss::OverMessage(reason))
            }
            Failure::Closed(_) | Failure::Lost(_) | Failure::NoFreeChannel(_) => {
                Self::Lost(Loss::Connection(failure.to_string()))
            }
        }
    }
}

/// Sends `messages` and awaits their confirms. When the broker nacked one of them, the next window
/// goes over a new channel.
pub(crate) async fn send(
    publisher: &mut Publisher,
    messages: &[Message],
    deadlines: &Deadlines,
) -> (Vec<Verdict>, WindowEnd) {
    let exchange = &publisher.topology.exchange;
    let end = tokio::select! {
        published = publisher.channel.publish(exchange, messages) => {
            published.map_or_else(WindowEnd::from, |()| WindowEnd::Complete)
        }
        late = deadlines.passed(publisher) => WindowEnd::Lost(Loss::Unconfirmed(late)),
    };
    let outcomes = publisher.channel.outcomes(messages);
    let is_nacked = outcomes.contains(&Some(Outcome::Nacked));
    let verdict = |(outcome, message)| verdict(outcome, message, exchange.as_str());
    let verdicts = outcomes.into_iter().zip(messages).map(verdict).collect();
    match end {
        WindowEnd::Complete if is_nacked => (verdicts, renew(publisher).await),
        end => (verdicts, end),
    }
}

/// Replaces the channel. One whose first messages to a queue came while the queue had no leader
/// keeps a wrong state of it: RabbitMQ 3.10 nacks whatever comes over that channel from then on,
/// also when the queue has another leader.
async fn renew(publisher: &mut Publisher) -> WindowEnd {
    match publisher.renew().await {
        Ok(()) => WindowEnd::Complete,
        Err(error) => WindowEnd::Lost(Loss::Connection(format!("{error:#}"))),
    }
}

fn verdict(outcome: Option<Outcome>, message: &Message, exchange: &str) -> Verdict {
    match outcome {
        None => Verdict::Unknown,
        Some(Outcome::Confirmed) => Verdict::Published,
        Some(Outcome::Nacked) => {
            let reason = "the broker could not take the message (nack)".to_owned();
            Verdict::Failed(FailureCause::Nacked, reason)
        }
        Some(Outcome::Returned(why)) => {
            let exchange = message.wire.exchange.as_ref().map_or(exchange, ShortString::as_str);
            let reason = reason(&why, exchange);
            // An x-delayed-message exchange returns what it delays and delivers later
            // (https://github.com/rabbitmq/rabbitmq-delayed-message-exchange#limitations): to send
            // that again and again would deliver a copy each time.
            if message.asks_for_delay {
                return Verdict::Unpublishable(format!("{reason}{OR_DELAYED}"));
            }
            Verdict::Failed(FailureCause::Returned, reason)
        }
    }
}

/// `NO_ROUTE` (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
const NO_ROUTE: u16 = 312;

/// What else may be behind the return of a message with the header `x-delay`.
const OR_DELAYED: &str = "; or it delays the event (header x-delay) and delivers it later all the same, as a broker \
     returns what an x-delayed-message exchange delays: bind a queue and retry the event, or discard it if it arrives";

fn reason(why: &Return, exchange: &str) -> String {
    let Return { reply_code, reply_text, routing_key } = why;
    if *reply_code == NO_ROUTE {
        format!("no queue is bound to the exchange {exchange} for the routing key {routing_key}")
    } else {
        format!("the broker returned the message: {reply_text} ({reply_code})")
    }
}
