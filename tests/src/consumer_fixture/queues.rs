//! The consumer's queues and their messages.

use anyhow::Context as _;
use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;

use super::{ConsumerFixture, until};

/// The queue that the consumer reads.
pub const QUEUE: &str = "customer.orders_count";
/// Where messages wait for their retry.
pub const RETRY_QUEUE: &str = "customer.orders_count.retry";
/// Where messages wait for a person.
pub const DEAD_LETTER_QUEUE: &str = "customer.orders_count.dlq";

impl ConsumerFixture {
    /// The number of ready messages in a queue.
    ///
    /// # Errors
    /// When there is no such queue.
    pub async fn waiting(&self, queue: &str) -> anyhow::Result<u32> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let channel = self.connection.create_channel().await?;
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
        channel.close(200, "".into()).await?;
        Ok(declared.message_count())
    }

    /// Waits for a message in a queue and removes it.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn take(&self, queue: &str) -> anyhow::Result<Delivery> {
        until(async || {
            let options = BasicGetOptions { no_ack: true };
            let got = self.channel.basic_get(queue.into(), options).await?;
            Ok(got.map(|message| message.delivery))
        })
        .await
        .with_context(|| format!("a message in {queue}"))
    }
}
