//! The consumer's queues as the previous release declares them.

use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::consumer_fixture::{ConsumerFixture, QUEUE};

/// The queue that holds the messages while the work queue is rebuilt.
pub const MOVING: &str = "customer.orders_count.moving";

/// The arguments of the work queue, those of the previous release first.
fn arguments(is_new: bool) -> FieldTable {
    let text = |value: &str| AMQPValue::LongString(value.into());
    let mut all = vec![
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(2_147_483_647)),
    ];
    if is_new {
        all.extend([
            ("x-dead-letter-exchange", text("orders.dlx")),
            ("x-dead-letter-routing-key", text(QUEUE)),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ]);
    }
    let mut table = FieldTable::default();
    for (name, value) in all {
        table.insert(name.into(), value);
    }
    table
}

impl ConsumerFixture {
    /// Declares everything that a consumer needs, with the work queue of the previous release.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn old_queue(&self) -> anyhow::Result<()> {
        self.declare_work_queue(false).await?;
        // The consumer declares the rest.
        self.consumer(&[]).await?.stop().await
    }

    /// Whether the work queue has the arguments of this release.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn is_queue_new(&self) -> anyhow::Result<bool> {
        let (connection, channel) = self.another_channel().await?;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let same = channel.queue_declare(QUEUE.into(), options, arguments(true)).await.is_ok();
        drop(connection);
        Ok(same)
    }

    /// Declares the work queue and binds it.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn declare_work_queue(&self, is_new: bool) -> anyhow::Result<()> {
        let (_connection, channel) = self.another_channel().await?;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(QUEUE.into(), options, arguments(is_new)).await?;
        let exchange =
            lapin::options::ExchangeDeclareOptions { durable: true, ..Default::default() };
        let (name, kind) = ("orders.events", lapin::ExchangeKind::Topic);
        channel.exchange_declare(name.into(), kind, exchange, FieldTable::default()).await?;
        let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(QUEUE.into(), name.into(), "order.*".into(), bind, none).await?;
        Ok(())
    }
}
