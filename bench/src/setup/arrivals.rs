//! The arrival times of the queue's messages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::StreamExt as _;
use lapin::Consumer;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::queue::{QUEUE, Queue};

/// A consumer that records when each message first arrives, by this process's clock.
#[derive(Debug)]
pub(crate) struct Arrivals {
    first: Arc<Mutex<HashMap<Uuid, Instant>>>,
    consumer: JoinHandle<anyhow::Result<()>>,
}

impl Arrivals {
    pub(crate) async fn watch(queue: &Queue) -> anyhow::Result<Self> {
        let channel = queue.connection.create_channel().await?;
        // Without acknowledgements: a message is removed once it is sent.
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consumer = channel
            .basic_consume(QUEUE.into(), "arrivals".into(), options, FieldTable::default())
            .await?;
        let first = Arc::<Mutex<HashMap<Uuid, Instant>>>::default();
        Ok(Self { first: Arc::clone(&first), consumer: tokio::spawn(take(consumer, first)) })
    }

    fn first(&self) -> MutexGuard<'_, HashMap<Uuid, Instant>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of distinct messages that have arrived.
    pub(crate) fn count(&self) -> usize {
        self.first().len()
    }

    /// When a message arrived, if it did.
    pub(crate) fn of(&self, event_id: Uuid) -> Option<Instant> {
        self.first().get(&event_id).copied()
    }

    /// The arrival times of all messages, in order.
    pub(crate) fn times(&self) -> Vec<Instant> {
        let mut times: Vec<Instant> = self.first().values().copied().collect();
        times.sort_unstable();
        times
    }

    /// Forgets all arrivals.
    pub(crate) fn clear(&self) {
        self.first().clear();
    }

    /// Waits until `count` distinct messages have arrived.
    pub(crate) async fn until(&self, count: usize, patience: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + patience;
        loop {
            let arrived = self.count();
            if arrived >= count {
                return Ok(());
            }
            if self.consumer.is_finished() {
                bail!("the consumer has ended");
            }
            ensure!(
                Instant::now() < end,
                "{arrived} messages arrived instead of {count}: this run has no result"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.consumer.abort();
    }
}

async fn take(
    mut consumer: Consumer,
    first: Arc<Mutex<HashMap<Uuid, Instant>>>,
) -> anyhow::Result<()> {
    while let Some(delivery) = consumer.next().await {
        let now = Instant::now();
        let delivery = delivery?;
        let id = delivery.properties.message_id().as_ref().context("a message without an id")?;
        let id: Uuid = id.as_str().parse()?;
        first.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(now);
    }
    bail!("the consumer was cancelled")
}
