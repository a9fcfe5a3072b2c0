//! One window of messages: sent without waiting, then confirmed, one verdict each.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::protocol::AMQPErrorKind;
use lapin::{Confirmation, ErrorKind};
use service_kit::broker::reason;
use service_kit::health::Dependency;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::Publisher;
use crate::message::Message;
use crate::verdict::Verdict;

/// How often to look whether the channel still lives while confirms are awaited.
const LOOK: Duration = Duration::from_millis(250);

/// Why nothing is confirmed, when the broker has said so.
pub(crate) const BLOCKED: &str = "the broker has told publishers to wait (memory or disk alarm)";

/// How long to wait for confirms.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    /// Longest wait for a window's confirms, not counting the time for which the broker has publishers wait.
    pub(crate) confirm: Duration,
    /// Cancelled when the relay is told to stop.
    pub(crate) stop: CancellationToken,
    /// Longest wait from that moment on.
    pub(crate) drain: Duration,
    /// Where it is told that the broker has publishers wait.
    pub(crate) broker: Dependency,
}

impl Patience {
    async fn ends(&self, publisher: &Publisher) -> String {
        tokio::select! {
            () = self.runs_out(publisher) => {
                let limit = humantime::format_duration(self.confirm);
                format!("the broker did not confirm a window within {limit}")
            }
            () = async { self.stop.cancelled().await; tokio::time::sleep(self.drain).await } => {
                "the broker did not confirm the last window in time".to_owned()
            }
        }
    }

    /// Completes when the broker could have confirmed and did not. While it blocks the connection nothing is written to
    /// it, not even a goodbye: a new connection would leave the old one behind, and send its messages besides.
    async fn runs_out(&self, publisher: &Publisher) {
        let mut end = Instant::now() + self.confirm;
        loop {
            let now = Instant::now();
            if publisher.is_blocked() {
                self.broker.down(BLOCKED);
                end = now + self.confirm;
            } else if now >= end {
                return;
            }
            tokio::time::sleep_until(end.min(now + LOOK)).await;
        }
    }
}

/// How a window ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every message was confirmed.
    Whole,
    /// The broker closed the channel over one of the messages, and said this.
    ChannelClosed(String),
    /// The connection is lost, or the broker does not answer.
    Lost(String),
}

type Confirm = Result<Confirmation, lapin::Error>;

/// Sends `messages` and awaits their confirms. Nothing is decided about any of them before all have ended: lapin hands
/// a returned message to whichever confirm comes next, so that only the returns of the whole window, matched by
/// `message_id`, tell which messages were returned.
pub(crate) async fn send(
    publisher: &Publisher,
    messages: &[Message],
    patience: &Patience,
) -> (Vec<Verdict>, End) {
    let mut confirms: Vec<Option<Confirm>> = messages.iter().map(|_| None).collect();
    // Polled first in this order, and each is handed to the connection when it is first polled.
    let mut pending: FuturesUnordered<_> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| async move { (index, publish(publisher, message).await) })
        .collect();
    let mut impatience = std::pin::pin!(patience.ends(publisher));
    let mut looks = tokio::time::interval(LOOK);
    let mut looks_at_a_closed_channel = 0;
    let late = loop {
        tokio::select! {
            next = pending.next() => match next {
                Some((index, confirm)) => confirms[index] = Some(confirm),
                None => break None,
            },
            late = &mut impatience => break Some(late),
            // A message that was handed over while the channel closed may never hear of it.
            _ = looks.tick(), if looks_at_a_closed_channel < 3 => {
                if !publisher.is_open() {
                    looks_at_a_closed_channel += 1;
                }
                if looks_at_a_closed_channel == 3 {
                    break None;
                }
            }
        }
    };
    drop(pending);
    let end = end(publisher, &confirms, late);
    (verdicts(publisher, messages, confirms, end == End::Whole), end)
}

async fn publish(publisher: &Publisher, message: &Message) -> Confirm {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    publisher
        .channel
        .basic_publish(
            publisher.topology.exchange.clone(),
            message.routing_key.clone(),
            options,
            &message.body,
            message.properties.clone(),
        )
        .await?
        .await
}

fn end(publisher: &Publisher, confirms: &[Option<Confirm>], late: Option<String>) -> End {
    if let Some(late) = late {
        return End::Lost(late);
    }
    if confirms.iter().all(|confirm| matches!(confirm, Some(Ok(_)))) {
        return End::Whole;
    }
    let errors = || confirms.iter().flatten().filter_map(|confirm| confirm.as_ref().err());
    let refusal = errors().find_map(|error| match error.kind() {
        ErrorKind::ProtocolError(refusal) if matches!(refusal.kind(), AMQPErrorKind::Soft(_)) => {
            Some(refusal.get_message().to_string())
        }
        _ => None,
    });
    match refusal {
        Some(said) => End::ChannelClosed(said),
        None if publisher.is_connected() => End::ChannelClosed("without a reason".to_owned()),
        None => {
            End::Lost(errors().next().map_or_else(|| "the connection ended".to_owned(), reason))
        }
    }
}

fn verdicts(
    publisher: &Publisher,
    messages: &[Message],
    confirms: Vec<Option<Confirm>>,
    whole: bool,
) -> Vec<Verdict> {
    let exchange = publisher.topology.exchange.as_str();
    let returned: HashMap<String, String> = confirms
        .iter()
        .flatten()
        .flatten()
        .filter_map(carried)
        .filter_map(|message| Some((message_id(message)?, why(message, exchange))))
        .collect();
    messages
        .iter()
        .zip(confirms)
        .map(|(message, confirm)| {
            let Some(Ok(confirmation)) = confirm else {
                return Verdict::Unknown;
            };
            if let Some(why) = returned.get(&message.message_id) {
                return Verdict::Failed(why.clone());
            }
            match confirmation {
                // A confirm takes one of the returns that came before it. One that took none shows that its own
                // message's return was not among those left over; one that took another's shows nothing, unless all
                // confirms are there and with them all returns.
                Confirmation::Ack(None) => Verdict::Published,
                Confirmation::Ack(Some(_)) if whole => Verdict::Published,
                Confirmation::Ack(Some(_)) | Confirmation::NotRequested => Verdict::Unknown,
                Confirmation::Nack(_) => {
                    Verdict::Failed("the broker could not take the message (nack)".to_owned())
                }
            }
        })
        .collect()
}

fn carried(confirmation: &Confirmation) -> Option<&BasicReturnMessage> {
    match confirmation {
        Confirmation::Ack(message) | Confirmation::Nack(message) => message.as_ref(),
        Confirmation::NotRequested => None,
    }
}

fn message_id(message: &BasicReturnMessage) -> Option<String> {
    message.delivery.properties.message_id().as_ref().map(ToString::to_string)
}

/// `NO_ROUTE` (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
const NO_ROUTE: u16 = 312;

fn why(message: &BasicReturnMessage, exchange: &str) -> String {
    if message.reply_code == NO_ROUTE {
        format!(
            "no queue is bound to the exchange {exchange} for the routing key {}",
            message.delivery.routing_key
        )
    } else {
        format!("the broker returned the message: {} ({})", message.reply_text, message.reply_code)
    }
}
