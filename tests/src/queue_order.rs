//! The messages of a queue, in the order in which they were enqueued.

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::{FieldTable, ShortString};

use crate::deliveries::{Delivery, delivery};
use crate::outbox::{Outbox, PATIENCE};

/// Drains `queue`, which must not have been consumed from before: then the deliveries are in the
/// order in which the broker enqueued the messages, whatever crashed in between. A permanent
/// consumer may see another order after a crash of the broker: RabbitMQ 3.10 delivers new messages
/// before those requeued from a lost consumer.
///
/// # Errors
/// When the broker refuses, or a message was handed out before.
pub async fn drain_in_order(outbox: &Outbox, queue: &str) -> anyhow::Result<Vec<Delivery>> {
    let name = ShortString::try_new(queue)?;
    // Behind all messages: marks the end.
    let (exchange, properties) = (ShortString::default(), BasicProperties::default());
    let options = BasicPublishOptions::default();
    outbox.channel.basic_publish(exchange, name.clone(), options, b"", properties).await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let none = FieldTable::default();
    let mut messages = outbox.channel.basic_consume(name, "".into(), options, none).await?;
    let mut got = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, messages.next());
        let message =
            next.await.context("the queue stopped")?.context("no consumer any more")??;
        if message.exchange.as_str().is_empty() {
            return Ok(got);
        }
        ensure!(!message.redelivered, "somebody took messages of {queue} before");
        got.push(delivery(&message)?);
    }
}
