//! The limit of a relay: a publisher that does nothing but publish the same messages, with what the relay promises:
//! persistent, mandatory, confirmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Connection, ConnectionProperties, PublisherConfirm};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::message::Message;
use crate::setup::EXCHANGE;
use crate::usage::cpu;

/// How messages are published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bare {
    pub(crate) connections: usize,
    /// Of each connection, each with a window in flight.
    pub(crate) channels: usize,
    /// Messages that are sent before their confirms are awaited.
    pub(crate) window: usize,
}

impl Bare {
    /// The next message is sent when the last one is confirmed.
    pub(crate) const ONE_AT_A_TIME: Self = Self { connections: 1, channels: 1, window: 1 };
}

/// How it went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    pub(crate) per_second: f64,
    /// CPU time of this process.
    pub(crate) cpu: Duration,
}

/// Publishes `count` messages, of each hundred so many that no queue is bound for.
pub(crate) async fn publish(
    broker: &str,
    bare: Bare,
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
    let next = Arc::new(AtomicUsize::new(0));
    let mut publishers = JoinSet::new();
    for channel in channels {
        let next = Arc::clone(&next);
        publishers.spawn(async move {
            loop {
                let first = next.fetch_add(bare.window, Ordering::Relaxed);
                if first >= count {
                    return Ok(());
                }
                let last = (first + bare.window).min(count);
                send_window(&channel, first..last, unroutable_percent).await?;
            }
        });
    }
    while let Some(publisher) = publishers.join_next().await {
        let published: anyhow::Result<()> = publisher?;
        published?;
    }
    let per_second = count as f64 / begun.elapsed().as_secs_f64();
    let cpu = cpu(std::process::id())? - cpu_before;
    for connection in connections {
        connection.close(200, "done".into()).await?;
    }
    Ok(Published { per_second, cpu })
}

async fn open(connection: &Connection) -> anyhow::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

async fn send_window(
    channel: &Channel,
    window: std::ops::Range<usize>,
    unroutable_percent: usize,
) -> anyhow::Result<()> {
    let mut confirms = Vec::with_capacity(window.len());
    for number in window {
        let unroutable = number % 100 < unroutable_percent;
        let key = if unroutable { "nobody.listens" } else { "order.created" };
        confirms.push(send(channel, Message::new(key)).await?);
    }
    for confirm in try_join_all(confirms).await? {
        ensure!(confirm.is_ack(), "a message was refused");
    }
    Ok(())
}

async fn send(channel: &Channel, message: Message) -> anyhow::Result<PublisherConfirm> {
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let key = message.routing_key.into();
    Ok(channel
        .basic_publish(EXCHANGE.into(), key, options, &message.body, message.properties)
        .await?)
}

/// A publisher that is asked for one message at a time.
#[derive(Debug)]
pub(crate) struct Single {
    channel: Channel,
    /// Closed when the last one who knows it is gone.
    _connection: Connection,
}

/// A message that was sent and confirmed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Confirmed {
    pub(crate) event_id: Uuid,
    pub(crate) sent: Instant,
    pub(crate) confirmed: Instant,
}

impl Single {
    pub(crate) async fn connect(broker: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(broker, ConnectionProperties::default()).await?;
        Ok(Self { channel: open(&connection).await?, _connection: connection })
    }

    pub(crate) async fn publish(&self) -> anyhow::Result<Confirmed> {
        let message = Message::new("order.created");
        let (event_id, sent) = (message.event_id, Instant::now());
        let confirm = send(&self.channel, message).await?.await?;
        ensure!(confirm.is_ack(), "a message was refused");
        Ok(Confirmed { event_id, sent, confirmed: Instant::now() })
    }
}
