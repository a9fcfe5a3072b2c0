//! What a queue got, in the order in which it got it.

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::{FieldTable, ShortString};

use crate::deliveries::{Delivery, delivery};
use crate::outbox::{Outbox, PATIENCE};

/// Empties `queue`, of which nobody took anything before: then the order of the deliveries is the
/// order in which the broker put the messages there, whatever crashed in between. One who listens
/// all the time sees another order after a crash of the broker: RabbitMQ 3.10 hands out new
/// messages before those that it takes back from a consumer that it lost.
///
/// # Errors
/// When the broker refuses, or a message was handed out before.
pub async fn drain_in_order(outbox: &Outbox, queue: &str) -> anyhow::Result<Vec<Delivery>> {
    let name = ShortString::try_new(queue)?;
    // Behind all that is there: the sign that nothing is left.
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
