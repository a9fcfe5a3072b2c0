//! A consumer that collects every delivery of a queue in order.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::outbox::eventually;

/// A delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message's id.
    pub event_id: Uuid,
    /// The aggregate.
    pub aggregate: String,
    /// The event's number within its aggregate, from the header `number`; 0 without one.
    pub number: i64,
    /// Whether the broker had delivered it before.
    pub redelivered: bool,
    /// When it was received.
    pub at: Instant,
}

/// The consumer. Dropping it stops it.
#[derive(Debug)]
pub struct Deliveries {
    got: Arc<Mutex<Vec<Delivery>>>,
    task: JoinHandle<()>,
}

impl Deliveries {
    /// Starts to consume from `queue`, and reconnects whenever the broker is gone. Unacknowledged
    /// deliveries are then redelivered, as to any consumer.
    #[must_use]
    pub fn collect(amqp_url: &str, queue: &str) -> Self {
        let got = Arc::new(Mutex::new(Vec::new()));
        let (url, queue, sink) = (amqp_url.to_owned(), queue.to_owned(), Arc::clone(&got));
        let task = tokio::spawn(async move {
            loop {
                // Returns when the connection ends.
                consume(&url, &queue, &sink).await.ok();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { got, task }
    }

    /// All deliveries so far, in order.
    #[must_use]
    pub fn so_far(&self) -> Vec<Delivery> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of deliveries so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until there are `count` deliveries.
    ///
    /// # Errors
    /// When it takes too long.
    pub async fn wait_for(&self, count: usize) -> anyhow::Result<()> {
        eventually(&format!("{count} are delivered"), async || Ok(self.count() >= count)).await
    }

    /// The ids of the events delivered so far.
    #[must_use]
    pub fn event_ids(&self) -> HashSet<Uuid> {
        self.so_far().iter().map(|delivery| delivery.event_id).collect()
    }

    /// The numbers of each aggregate's events, in the order of their first deliveries.
    #[must_use]
    pub fn first_deliveries(&self) -> HashMap<String, Vec<i64>> {
        first_of_each(self.so_far())
    }
}

/// The numbers of each aggregate's events, in the order of their first deliveries.
#[must_use]
pub fn first_of_each(deliveries: impl IntoIterator<Item = Delivery>) -> HashMap<String, Vec<i64>> {
    let (mut seen, mut first) = (HashSet::new(), HashMap::<_, Vec<_>>::new());
    for Delivery { event_id, aggregate, number, .. } in deliveries {
        if seen.insert(event_id) {
            first.entry(aggregate).or_default().push(number);
        }
    }
    first
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn consume(url: &str, queue: &str, sink: &Mutex<Vec<Delivery>>) -> anyhow::Result<()> {
    service_kit::telemetry::install_tls();
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(500, BasicQosOptions::default()).await?;
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut messages = channel.basic_consume(queue.into(), "".into(), options, none).await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        sink.lock().unwrap_or_else(PoisonError::into_inner).push(delivery(&message)?);
        message.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

/// Reads a delivery from a message.
pub(crate) fn delivery(message: &lapin::message::Delivery) -> anyhow::Result<Delivery> {
    let id = message.properties.message_id().as_ref().context("a message without an id")?;
    let headers = message.properties.headers().as_ref().context("no headers")?.inner();
    let Some(AMQPValue::LongString(aggregate)) = headers.get("aggregate-id") else {
        bail!("a message without an aggregate");
    };
    Ok(Delivery {
        event_id: id.as_str().parse()?,
        aggregate: aggregate.to_string(),
        number: match headers.get("number") {
            Some(AMQPValue::LongLongInt(number)) => *number,
            _ => 0,
        },
        redelivered: message.redelivered,
        at: Instant::now(),
    })
}
