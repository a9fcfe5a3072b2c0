//! Publishes messages to the queues that they go back to: mandatory, and confirmed.

use std::time::Duration;

use amqp::{BrokerUrl, Channel, Connection, Failure, Message, Outcome};
use tokio::time::timeout;

use super::message::RETURNED_FROM;
use crate::publish::refusals::is_over_frames;

/// How long the broker may take to open a channel.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// How long the broker may take to confirm a window.
pub(crate) const CONFIRM_LIMIT: Duration = Duration::from_secs(30);

/// How long the broker may take to close the connection.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The maximum frame size in bytes, RabbitMQ's default: a content header must fit into one frame.
const FRAME_MAX: u32 = 128 << 10;

/// The reply code for a right that the user lacks
/// (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
const ACCESS_REFUSED: u16 = 403;

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The broker has taken responsibility for it.
    Confirmed,
    /// The broker has not taken it, for this reason.
    Refused(String),
    /// The broker has not answered: it may have the message.
    Unknown,
}

/// Why a window did not end with a verdict on each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The broker closed the channel or the connection over a message of the window.
    OverMessage(String),
    /// The user may not publish to the default exchange: no message would be taken.
    Denied(String),
    /// The connection is lost, or the broker does not answer.
    Lost(String),
}

/// Publishes one window at a time, over a connection that is reopened after a loss.
#[derive(Debug)]
pub(crate) struct Publisher {
    url: BrokerUrl,
    connection: Option<(Connection, Channel)>,
}

impl Publisher {
    pub(crate) fn new(url: &BrokerUrl) -> Self {
        Self { url: url.clone(), connection: None }
    }

    /// Connects if there is no connection. Returns the longest frame that it takes, in bytes.
    pub(crate) async fn connect(&mut self) -> anyhow::Result<usize> {
        if let Some((connection, channel)) = &self.connection
            && channel.is_open()
        {
            return Ok(connection.frame_max());
        }
        self.connection = None;
        let connection =
            Connection::open(&self.url, "outbox-relay dead-letters", FRAME_MAX).await?;
        let opened = timeout(OPEN_LIMIT, async {
            let channel = Channel::open(&connection).await?;
            channel.confirm().await?;
            anyhow::Ok(channel)
        });
        let channel = opened.await.map_err(|_| {
            anyhow::anyhow!("the broker does not open a channel within {} s", OPEN_LIMIT.as_secs())
        })??;
        // Any service's messages: the message_id may be missing, or the same for several.
        channel.recognize_returns_by(RETURNED_FROM);
        let frame_max = connection.frame_max();
        self.connection = Some((connection, channel));
        Ok(frame_max)
    }

    /// Publishes `messages` to the default exchange. Returns a verdict on each, and why some are
    /// unknown.
    pub(crate) async fn publish(&mut self, messages: &[Message]) -> (Vec<Verdict>, Option<Broken>) {
        let Some((connection, channel)) = &self.connection else {
            let unknown = vec![Verdict::Unknown; messages.len()];
            return (unknown, Some(Broken::Lost("it is not connected".to_owned())));
        };
        let default_exchange = "".into();
        let published = channel.publish(&default_exchange, messages);
        let broken = match timeout(CONFIRM_LIMIT, published).await {
            Ok(Ok(())) => None,
            Ok(Err(Failure::Refused(reason))) if reason.code == ACCESS_REFUSED => {
                Some(Broken::Denied(reason.text))
            }
            Ok(Err(Failure::Refused(reason))) => Some(Broken::OverMessage(reason.text)),
            Ok(Err(Failure::Closed(reason))) if is_over_frames(&reason) => {
                Some(Broken::OverMessage(reason.text))
            }
            Ok(Err(failure)) => Some(Broken::Lost(failure.to_string())),
            Err(_) if connection.is_blocked() => Some(Broken::Lost(
                "the broker has told publishers to wait (memory or disk alarm)".to_owned(),
            )),
            Err(_) => Some(Broken::Lost(format!(
                "the broker did not confirm within {} s",
                CONFIRM_LIMIT.as_secs()
            ))),
        };
        let outcomes = channel.outcomes(messages);
        // If a channel was used while the queue had no leader, RabbitMQ 3.10 nacks everything later
        // on it.
        if broken.is_some() || outcomes.contains(&Some(Outcome::Nacked)) {
            self.close().await;
        }
        (outcomes.into_iter().map(verdict).collect(), broken)
    }

    /// Closes the connection.
    pub(crate) async fn close(&mut self) {
        if let Some((connection, _)) = self.connection.take() {
            // A connection that is dropped is closed as well.
            timeout(CLOSE_LIMIT, connection.close()).await.ok();
        }
    }
}

fn verdict(outcome: Option<Outcome>) -> Verdict {
    match outcome {
        None => Verdict::Unknown,
        Some(Outcome::Confirmed) => Verdict::Confirmed,
        Some(Outcome::Nacked) => {
            let reason =
                "the queue could not take the message (nack): is it full, or without a leader?";
            Verdict::Refused(reason.to_owned())
        }
        Some(Outcome::Returned(why)) => {
            Verdict::Refused(format!("there is no queue {} ({})", why.routing_key, why.reply_text))
        }
    }
}
