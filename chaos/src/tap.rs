//! A queue that gets every message of the exchange, and a consumer that records what it receives.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::history::{History, now};

/// The queue.
pub(crate) const QUEUE: &str = "chaos.tap";
const EXCHANGE: &str = "orders.events";
const PREFETCH: u16 = 200;
/// How long nothing may come before the connection is made anew: a node may hang.
const SILENCE: Duration = Duration::from_secs(10);

/// Declares the queue and binds it to everything.
pub(crate) async fn declare(url: &str) -> anyhow::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(QUEUE.into(), options, arguments).await?;
    let none = FieldTable::default();
    channel
        .queue_bind(QUEUE.into(), EXCHANGE.into(), "#".into(), QueueBindOptions::default(), none)
        .await?;
    Ok(connection.close(200, "".into()).await?)
}

/// Consumes from one node after the other, whenever a connection ends.
pub(crate) fn consume(urls: [String; 3], history: Arc<History>) -> JoinHandle<()> {
    tokio::spawn(async move {
        for url in urls.iter().cycle() {
            // Returns when the connection ends. What was not acknowledged comes again.
            consume_from(url, &history).await.ok();
            sleep(Duration::from_millis(200)).await;
        }
    })
}

async fn consume_from(url: &str, history: &History) -> anyhow::Result<()> {
    let connect = Connection::connect(url, ConnectionProperties::default());
    let connection = timeout(SILENCE, connect).await??;
    let channel = timeout(SILENCE, open(&connection)).await??;
    let options = BasicConsumeOptions::default();
    let consume = channel.basic_consume(QUEUE.into(), "".into(), options, FieldTable::default());
    let mut messages = timeout(SILENCE, consume).await??;
    loop {
        let delivery = timeout(SILENCE, messages.next()).await?.context("the consumer ended")??;
        history.record("messages", &message(&delivery));
        delivery.ack(BasicAckOptions::default()).await?;
    }
}

async fn open(connection: &Connection) -> anyhow::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    Ok(channel)
}

fn message(delivery: &Delivery) -> Value {
    let properties = &delivery.properties;
    let headers = properties.headers().as_ref().map(FieldTable::inner);
    let outbox_id = headers.and_then(|headers| match headers.get("outbox-id")? {
        AMQPValue::LongLongInt(id) => Some(*id),
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?.parse().ok(),
        _ => None,
    });
    let body: Value = serde_json::from_slice(&delivery.data).unwrap_or_default();
    json!({
        "at": now(),
        "message_id": properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default(),
        "key": delivery.routing_key.as_str(),
        "redelivered": delivery.redelivered,
        "outbox_id": outbox_id,
        "body": body,
    })
}
