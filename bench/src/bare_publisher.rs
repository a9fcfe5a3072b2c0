//! The limit of a relay: a publisher that only publishes the same messages with the relay's
//! guarantees: persistent, mandatory, confirmed.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Connection, ConnectionProperties, PublisherConfirm};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::message::{Message, Messages};
use crate::setup::EXCHANGE;
use crate::usage::cpu;

/// How messages are published. Written as CONNECTIONSxCHANNELSxWINDOW, with an optional suffix
/// `-together`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PublisherShape {
    pub(crate) connections: usize,
    /// Per connection, each with a window in flight.
    pub(crate) channels: usize,
    /// Messages sent before their confirms are awaited.
    pub(crate) window: usize,
    pub(crate) handover: Handover,
}

/// How a window's messages are passed to lapin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handover {
    /// One by one, each once the previous one is written, as in lapin's examples.
    InTurn,
    /// All at once, so that lapin writes them together, which is less work for the publisher.
    Together,
}

impl Handover {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::InTurn => "in turn",
            Self::Together => "together",
        }
    }
}

impl PublisherShape {
    /// Each message is sent once the previous one is confirmed.
    pub(crate) const ONE_AT_A_TIME: Self =
        Self { connections: 1, channels: 1, window: 1, handover: Handover::Together };
}

impl FromStr for PublisherShape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (numbers, handover) = match text.strip_suffix("-together") {
            Some(numbers) => (numbers, Handover::Together),
            None => (text, Handover::InTurn),
        };
        let numbers: Option<Vec<usize>> = numbers
            .split('x')
            .map(|number| number.parse().ok().filter(|&number| number > 0))
            .collect();
        match numbers.as_deref() {
            Some(&[connections, channels, window]) => {
                Ok(Self { connections, channels, window, handover })
            }
            _ => Err("it must be CONNECTIONSxCHANNELSxWINDOW, as in 1x4x500, or 1x4x500-together"
                .to_owned()),
        }
    }
}

/// The measurements of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    pub(crate) per_second: f64,
    /// CPU time of this process.
    pub(crate) cpu: Duration,
}

/// Publishes `count` messages, `unroutable_percent` of which no queue is bound for.
pub(crate) async fn publish(
    broker: &str,
    bare: PublisherShape,
    count: usize,
    unroutable_percent: u32,
) -> anyhow::Result<Published> {
    let mut channels = Vec::new();
    let mut connections = Vec::new();
    for _ in 0..bare.connections {
        let connection = Connection::connect(broker, ConnectionProperties::default()).await?;
        for _ in 0..bare.channels {
            channels.push(open(&connection).await?);
        }
        connections.push(connection);
    }
    let unroutable_percent = usize::try_from(unroutable_percent)?;
    let cpu_before = cpu(std::process::id())?;
    let begun = Instant::now();
    let (next, messages) = (Arc::new(AtomicUsize::new(0)), Messages::new());
    let mut publishers = JoinSet::new();
    for channel in channels {
        let next = Arc::clone(&next);
        publishers.spawn(async move {
            loop {
                let first = next.fetch_add(bare.window, Ordering::Relaxed);
                if first >= count {
                    return Ok(channel);
                }
                let last = (first + bare.window).min(count);
                let window = first..last;
                send_window(&channel, bare.handover, messages, window, unroutable_percent).await?;
            }
        });
    }
    // Dropping a channel closes it, which must not cross the connection's close.
    let channels: anyhow::Result<Vec<Channel>> = publishers.join_all().await.into_iter().collect();
    let per_second = count as f64 / begun.elapsed().as_secs_f64();
    let cpu = cpu(std::process::id())? - cpu_before;
    let channels = channels?;
    for connection in connections {
        connection.close(200, "done".into()).await?;
    }
    drop(channels);
    Ok(Published { per_second, cpu })
}

async fn open(connection: &Connection) -> anyhow::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

async fn send_window(
    channel: &Channel,
    handover: Handover,
    messages: Messages,
    window: std::ops::Range<usize>,
    unroutable_percent: usize,
) -> anyhow::Result<()> {
    // Created before the first is sent: with pauses in between, the connection would write each
    // separately.
    let window: Vec<Message> = window
        .map(|number| {
            let unroutable = number % 100 < unroutable_percent;
            messages.message(number, if unroutable { "nobody.listens" } else { "order.created" })
        })
        .collect();
    let mut pending = Vec::with_capacity(window.len());
    match handover {
        Handover::InTurn => {
            for message in window {
                pending.push(send(channel, message).await?);
            }
        }
        Handover::Together => {
            // lapin completes a publish once it is written.
            let sent = window.into_iter().map(|message| send(channel, message));
            pending = try_join_all(sent).await?;
        }
    }
    for confirm in try_join_all(pending).await? {
        ensure!(confirm.is_ack(), "a message was refused");
    }
    Ok(())
}

async fn send(channel: &Channel, message: Message) -> Result<PublisherConfirm, lapin::Error> {
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let key = message.routing_key.into();
    channel.basic_publish(EXCHANGE.into(), key, options, &message.body, message.properties).await
}

/// A publisher that sends one message at a time.
#[derive(Debug)]
pub(crate) struct Single {
    channel: Channel,
    messages: Messages,
    sent: AtomicUsize,
    /// Closed when the last handle is dropped.
    _connection: Connection,
}

/// A confirmed message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Confirmed {
    pub(crate) event_id: Uuid,
    pub(crate) sent: Instant,
    pub(crate) confirmed: Instant,
}

impl Single {
    pub(crate) async fn connect(broker: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(broker, ConnectionProperties::default()).await?;
        let channel = open(&connection).await?;
        let (messages, sent) = (Messages::new(), AtomicUsize::new(0));
        Ok(Self { channel, messages, sent, _connection: connection })
    }

    pub(crate) async fn publish(&self) -> anyhow::Result<Confirmed> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let message = self.messages.message(number, "order.created");
        let (event_id, sent) = (message.event_id, Instant::now());
        let confirm = send(&self.channel, message).await?.await?;
        ensure!(confirm.is_ack(), "a message was refused");
        Ok(Confirmed { event_id, sent, confirmed: Instant::now() })
    }
}

#[cfg(test)]
mod tests {
    use super::{Handover, PublisherShape};

    #[test]
    fn a_shape_is_three_numbers() {
        let bare: PublisherShape = "2x4x500".parse().expect("a shape");
        assert_eq!((bare.connections, bare.channels, bare.window), (2, 4, 500));
        assert_eq!(bare.handover, Handover::InTurn);
        let bare: PublisherShape = "1x1x1000-together".parse().expect("a shape");
        assert_eq!((bare.window, bare.handover), (1000, Handover::Together));
        for wrong in ["", "1", "1x4", "1x4x0", "1x4x500x1", "1x4xmany"] {
            assert!(wrong.parse::<PublisherShape>().is_err(), "{wrong}");
        }
    }
}
