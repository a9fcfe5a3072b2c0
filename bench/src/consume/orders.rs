//! The consumer's queue, and one with the same messages for the bare consumer.

use anyhow::ensure;
use futures_util::future::try_join_all;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use uuid::Uuid;

use crate::setup::{EXCHANGE, Servers};

/// The consumer's queues; it reads the first.
const QUEUES: [&str; 3] =
    ["customer.orders_count", "customer.orders_count.retry", "customer.orders_count.dlq"];

/// The queue of the bare consumer.
pub(crate) const BARE_QUEUE: &str = "bench.bare";

/// Messages sent before their confirms are awaited.
const WINDOW: usize = 2000;

/// A virtual host.
#[derive(Debug)]
pub(crate) struct Orders {
    /// `amqp://…`, with the virtual host in it.
    pub(crate) url: String,
    connection: Connection,
}

impl Orders {
    pub(crate) async fn new(servers: &Servers) -> anyhow::Result<Self> {
        let url = servers.rabbit.vhost("consume").await?.amqp_url.clone();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        Ok(Self { url, connection })
    }

    /// Declares the bare consumer's queue, of the same type as the consumer's.
    pub(crate) async fn bind_bare(&self) -> anyhow::Result<()> {
        let channel = self.connection.create_channel().await?;
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(BARE_QUEUE.into(), durable, quorum).await?;
        let (queue, options) = (BARE_QUEUE.into(), QueueBindOptions::default());
        channel
            .queue_bind(queue, EXCHANGE.into(), "order.*".into(), options, FieldTable::default())
            .await?;
        channel.close(200, "OK".into()).await?;
        Ok(())
    }

    /// Publishes an event for each of this many orders, with the customers in turn. All are in both
    /// queues when this returns.
    pub(crate) async fn publish(&self, events: usize, customers: usize) -> anyhow::Result<()> {
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let first = Uuid::now_v7().as_u128();
        for begin in (0..events).step_by(WINDOW) {
            let window = begin..(begin + WINDOW).min(events);
            let confirms = window.map(|number| {
                let event_id = Uuid::from_u128(first.wrapping_add(number as u128));
                send(&channel, event_id, number % customers + 1)
            });
            for confirm in try_join_all(confirms).await? {
                ensure!(confirm.is_ack(), "a message was refused");
            }
        }
        channel.close(200, "OK".into()).await?;
        Ok(())
    }

    /// Fails if the consumer left a message or moved one to another queue.
    pub(crate) async fn check_empty(&self) -> anyhow::Result<()> {
        // A connection of its own: the broker may have closed all that there were.
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        for queue in QUEUES {
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let left = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
            let left = left.message_count();
            ensure!(left == 0, "{left} messages are in {queue}: this run has no result");
        }
        connection.close(200, "OK".into()).await?;
        Ok(())
    }
}

/// The message that the relay publishes for an order.
async fn send(
    channel: &Channel,
    event_id: Uuid,
    customer: usize,
) -> Result<lapin::Confirmation, lapin::Error> {
    let id = event_id.to_string();
    let body = format!(
        r#"{{"event_id":"{id}","event":"order.created","occurred_at":"2026-02-01T22:25:31.123456Z","data":{{"order_public_id": "{id}", "customer_public_id": "00000000-0000-0000-0000-{customer:012}", "product_name": "a bicycle bell", "quantity": 1, "price": "12.50", "delivery_address": "Cra 7 #12-34"}}}}"#
    );
    let mut headers = FieldTable::default();
    headers.insert("aggregate-type".into(), AMQPValue::LongString("order".into()));
    headers.insert("aggregate-id".into(), AMQPValue::LongString(id.clone().into()));
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_message_id(id.into())
        .with_type("order.created".into())
        .with_timestamp(1_769_984_731)
        .with_app_id("outbox-relay".into())
        .with_headers(headers);
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let body = body.as_bytes();
    channel
        .basic_publish(EXCHANGE.into(), "order.created".into(), options, body, properties)
        .await?
        .await
}
