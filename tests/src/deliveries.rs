//! A consumer that takes all that a queue gets, all the time, and remembers in which order.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What a consumer got.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message's id.
    pub event_id: Uuid,
    /// The aggregate.
    pub aggregate: String,
    /// The event's number within its aggregate, from the header `number`; 0 without one.
    pub number: i64,
    /// Whether the broker had handed it out before.
    pub redelivered: bool,
    /// When it was taken.
    pub at: Instant,
}

/// The consumer. Dropping it ends it.
#[derive(Debug)]
pub struct Deliveries {
    url: String,
    queue: String,
    got: Arc<Mutex<Vec<Delivery>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Deliveries {
    /// Begins to take what `queue` gets, and connects again whenever the broker is gone. What was delivered and not
    /// acknowledged then comes again, as at any consumer.
    #[must_use]
    pub fn collect(amqp_url: &str, queue: &str) -> Self {
        let (got, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let task = spawn(amqp_url, queue, &got, &stop);
        Self { url: amqp_url.to_owned(), queue: queue.to_owned(), got, stop, task }
    }

    /// Takes nothing more, and gives back what it has not looked at.
    ///
    /// # Errors
    /// When it ended in a panic.
    pub async fn pause(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok((&mut self.task).await?)
    }

    /// Goes on after a [`pause`](Self::pause).
    pub fn resume(&mut self) {
        self.stop = CancellationToken::new();
        self.task = spawn(&self.url, &self.queue, &self.got, &self.stop);
    }

    /// All that was taken so far, in the order of its coming.
    #[must_use]
    pub fn so_far(&self) -> Vec<Delivery> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many messages were taken so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The ids of the events that were taken so far.
    #[must_use]
    pub fn event_ids(&self) -> HashSet<Uuid> {
        self.so_far().iter().map(|delivery| delivery.event_id).collect()
    }

    /// The numbers of each aggregate's events in the order in which they came for the first time.
    #[must_use]
    pub fn first_deliveries(&self) -> HashMap<String, Vec<i64>> {
        let (mut seen, mut first) = (HashSet::new(), HashMap::<_, Vec<_>>::new());
        for Delivery { event_id, aggregate, number, .. } in self.so_far() {
            if seen.insert(event_id) {
                first.entry(aggregate).or_default().push(number);
            }
        }
        first
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn spawn(
    url: &str,
    queue: &str,
    sink: &Arc<Mutex<Vec<Delivery>>>,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let (url, queue) = (url.to_owned(), queue.to_owned());
    let (sink, stop) = (Arc::clone(sink), stop.clone());
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            // It ends with the connection.
            consume(&url, &queue, &sink, &stop).await.ok();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

async fn consume(
    url: &str,
    queue: &str,
    sink: &Mutex<Vec<Delivery>>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    service_kit::telemetry::install_tls();
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(500, BasicQosOptions::default()).await?;
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut messages = channel.basic_consume(queue.into(), "".into(), options, none).await?;
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => return Ok(connection.close(200, "".into()).await?),
            message = messages.next() => message.context("the consumer was cancelled")??,
        };
        sink.lock().unwrap_or_else(PoisonError::into_inner).push(delivery(&message)?);
        message.ack(BasicAckOptions::default()).await?;
    }
}

fn delivery(message: &lapin::message::Delivery) -> anyhow::Result<Delivery> {
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
