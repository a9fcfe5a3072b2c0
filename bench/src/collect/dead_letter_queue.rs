//! A dead-letter queue, and one with the same messages for the bare consumer.

use anyhow::ensure;
use futures_util::future::try_join_all;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use lapin::{Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};

use crate::consume::BARE_QUEUE;
use crate::message::Messages;
use crate::setup::Servers;

/// The queue that is collected.
pub(super) const DEAD_LETTER_QUEUE: &str = "billing.dlq";

/// The exchange of both queues.
const EXCHANGE: &str = "billing.dead";

/// Messages sent before their confirms are awaited.
const WINDOW: usize = 2000;

/// Bytes of longer bodies sent before that.
const WINDOW_BYTES: usize = 64 << 20;

/// A virtual host.
#[derive(Debug)]
pub(crate) struct DeadLetterQueue {
    /// `amqp://…`, with the virtual host in it.
    pub(crate) url: String,
    connection: Connection,
}

impl DeadLetterQueue {
    /// Declares both queues, which are quorum queues.
    pub(crate) async fn new(servers: &Servers) -> anyhow::Result<Self> {
        let url = servers.rabbit.vhost("collect").await?.amqp_url.clone();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let (fanout, none) = (ExchangeKind::Fanout, FieldTable::default());
        channel.exchange_declare(EXCHANGE.into(), fanout, durable, none.clone()).await?;
        for queue in [DEAD_LETTER_QUEUE, BARE_QUEUE] {
            let mut quorum = FieldTable::default();
            quorum.insert("x-queue-type".into(), text("quorum"));
            let durable = QueueDeclareOptions { durable: true, ..Default::default() };
            channel.queue_declare(queue.into(), durable, quorum).await?;
            let (options, none) = (QueueBindOptions::default(), none.clone());
            channel.queue_bind(queue.into(), EXCHANGE.into(), "".into(), options, none).await?;
        }
        channel.close(200, "OK".into()).await?;
        Ok(Self { url, connection })
    }

    /// Publishes this many dead letters, with bodies of this length instead of events. All are in
    /// both queues when this returns.
    pub(crate) async fn publish(&self, messages: usize, body: Option<usize>) -> anyhow::Result<()> {
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let events = Messages::new();
        let body = body.map(|length| vec![b'x'; length]);
        let most = body.as_ref().map_or(WINDOW, |body| WINDOW_BYTES / body.len().max(1));
        let most = most.clamp(1, WINDOW);
        for begin in (0..messages).step_by(most) {
            let window = begin..(begin + most).min(messages);
            let confirms = window.map(|number| send(&channel, events, number, body.as_deref()));
            for confirm in try_join_all(confirms).await? {
                ensure!(confirm.is_ack(), "a message was refused");
            }
        }
        channel.close(200, "OK".into()).await?;
        Ok(())
    }

    /// Fails if the collector left a message.
    pub(crate) async fn check_empty(&self) -> anyhow::Result<()> {
        let channel = self.connection.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let queue = DEAD_LETTER_QUEUE.into();
        let left = channel.queue_declare(queue, passive, FieldTable::default()).await?;
        let left = left.message_count();
        ensure!(left == 0, "{left} messages are in {DEAD_LETTER_QUEUE}: this run has no result");
        channel.close(200, "OK".into()).await?;
        Ok(())
    }
}

/// A message of the relay as it is after a consumer has rejected it with a reason: with the headers
/// that RabbitMQ adds.
async fn send(
    channel: &Channel,
    events: Messages,
    number: usize,
    body: Option<&[u8]>,
) -> Result<Confirmation, lapin::Error> {
    let message = events.message(number, "order.created");
    let mut headers = message.properties.headers().clone().unwrap_or_default();
    headers.insert("x-reason".into(), text(&format!("customer {number} is unknown")));
    headers.insert("x-tries".into(), AMQPValue::LongInt(5));
    headers.insert("x-first-failed-at".into(), text("2026-02-01T22:25:31.123456Z"));
    headers.insert("x-first-death-exchange".into(), text("orders.events"));
    headers.insert("x-first-death-queue".into(), text("billing"));
    headers.insert("x-first-death-reason".into(), text("rejected"));
    headers.insert("x-death".into(), deaths());
    let properties = message.properties.with_headers(headers);
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let (exchange, key) = (EXCHANGE.into(), message.routing_key.into());
    let body = body.unwrap_or(&message.body);
    channel.basic_publish(exchange, key, options, body, properties).await?.await
}

/// One rejection, as RabbitMQ notes it.
fn deaths() -> AMQPValue {
    let mut death = FieldTable::default();
    death.insert("count".into(), AMQPValue::LongLongInt(1));
    death.insert("reason".into(), text("rejected"));
    death.insert("queue".into(), text("billing"));
    death.insert("time".into(), AMQPValue::Timestamp(1_769_984_731));
    death.insert("exchange".into(), text("orders.events"));
    let keys = FieldArray::from(vec![text("order.created")]);
    death.insert("routing-keys".into(), AMQPValue::FieldArray(keys));
    AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::FieldTable(death)]))
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}
