//! A virtual host with the exchange of the relay and a quorum queue behind it.

use anyhow::ensure;
use lapin::options::{
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties, ExchangeKind};

use super::servers::Servers;

/// The relay's default exchange.
pub(crate) const EXCHANGE: &str = "orders.events";

pub(super) const QUEUE: &str = "bench";

/// The queue bound to `order.*`.
#[derive(Debug)]
pub(crate) struct Queue {
    /// `amqp://…`, with the virtual host in it.
    pub(crate) url: String,
    pub(super) connection: Connection,
}

impl Queue {
    /// Creates an empty one.
    pub(crate) async fn new(servers: &Servers) -> anyhow::Result<Self> {
        let url = servers.rabbit.vhost("bench").await?.amqp_url.clone();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        declare(&connection).await?;
        Ok(Self { url, connection })
    }

    /// Purges the queue. Fails if it held fewer than `least` messages; returns the number of
    /// further ones, which are duplicates.
    pub(crate) async fn purge(&self, least: usize) -> anyhow::Result<usize> {
        let channel = self.connection.create_channel().await?;
        let purged = channel.queue_purge(QUEUE.into(), QueuePurgeOptions::default()).await?;
        let purged = usize::try_from(purged)?;
        channel.close(200, "OK".into()).await?;
        ensure!(
            purged >= least,
            "{purged} messages arrived instead of {least}: this run has no result"
        );
        Ok(purged - least)
    }
}

async fn declare(connection: &Connection) -> anyhow::Result<()> {
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel
        .exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, FieldTable::default())
        .await?;
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(QUEUE.into(), durable, quorum).await?;
    let options = QueueBindOptions::default();
    channel
        .queue_bind(QUEUE.into(), EXCHANGE.into(), "order.*".into(), options, FieldTable::default())
        .await?;
    channel.close(200, "OK".into()).await?;
    Ok(())
}
