//! The exchange, queues and messages of an outbox's virtual host.

use anyhow::{Context as _, bail};
use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use uuid::Uuid;

use super::{EXCHANGE, Outbox};
use crate::deliveries::Deliveries;

impl Outbox {
    /// Declares the exchange and a queue bound to it with `key`.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn queue(&self, name: &str, key: &str) -> anyhow::Result<()> {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        self.channel
            .exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, FieldTable::default())
            .await?;
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_declare(name.into(), durable, quorum).await?;
        self.bind(name, key).await
    }

    /// A fresh outbox, and a consumer of all that its relays publish.
    ///
    /// # Errors
    /// When a server does not answer.
    pub async fn with_consumer() -> anyhow::Result<(Self, Deliveries)> {
        let outbox = Self::new().await?;
        outbox.queue("all", "#").await?;
        let deliveries = Deliveries::collect(&outbox.vhost.amqp_url, "all");
        Ok((outbox, deliveries))
    }

    /// Binds a queue to the exchange.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn bind(&self, queue: &str, key: &str) -> anyhow::Result<()> {
        self.channel
            .queue_bind(
                queue.into(),
                EXCHANGE.into(),
                ShortString::try_new(key)?,
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok(())
    }

    /// Removes and returns all messages of a queue.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn take_all(&self, queue: &str) -> anyhow::Result<Vec<BasicGetMessage>> {
        let no_ack = BasicGetOptions { no_ack: true };
        let mut messages = Vec::new();
        while let Some(message) = self.channel.basic_get(queue.into(), no_ack).await? {
            messages.push(message);
        }
        Ok(messages)
    }

    /// The number of ready messages in a queue.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn depth(&self, queue: &str) -> anyhow::Result<u32> {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let queue = self.channel.queue_declare(queue.into(), passive, FieldTable::default());
        Ok(queue.await?.message_count())
    }
}

pub(super) async fn connect(url: &str) -> anyhow::Result<(Connection, Channel)> {
    service_kit::telemetry::install_tls();
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

/// A message's `message_id`, which is the `event_id`.
///
/// # Errors
/// When it has none or it is no UUID.
pub fn event_id(message: &BasicGetMessage) -> anyhow::Result<Uuid> {
    let id = message.delivery.properties.message_id();
    Ok(id.as_ref().context("a message without an id")?.as_str().parse()?)
}

/// A message's header `aggregate-id`.
///
/// # Errors
/// When it has none.
pub fn aggregate_id(message: &BasicGetMessage) -> anyhow::Result<String> {
    let headers = message.delivery.properties.headers().as_ref().context("no headers")?;
    match headers.inner().get("aggregate-id") {
        Some(AMQPValue::LongString(id)) => Ok(id.to_string()),
        other => bail!("aggregate-id is {other:?}"),
    }
}
