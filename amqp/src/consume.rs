//! Consuming, and acknowledging what was delivered.

use amq_protocol::protocol::{AMQPClass, basic};
use amq_protocol::types::FieldTable;

use super::channel::Channel;
use super::delivery::Delivery;
use super::failure::Failure;

/// The tag of a channel's only consumer.
const CONSUMER: &str = "consumer";

impl Channel {
    /// Starts to consume a queue, with at most `prefetch` unacknowledged messages.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn consume(&self, queue: &str, prefetch: u16) -> Result<(), Failure> {
        let qos = basic::Qos { prefetch_count: prefetch, global: false };
        self.request(AMQPClass::Basic(basic::AMQPMethod::Qos(qos))).await?;
        let consume = basic::AMQPMethod::Consume(basic::Consume {
            queue: queue.into(),
            consumer_tag: CONSUMER.into(),
            no_local: false,
            no_ack: false,
            exclusive: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        self.request(AMQPClass::Basic(consume)).await?;
        self.state.lock().is_consuming = true;
        Ok(())
    }

    /// Cancels the consumer.
    pub(super) async fn cancel(&self) -> Result<(), Failure> {
        let cancel = basic::Cancel { consumer_tag: CONSUMER.into(), nowait: false };
        self.request(AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel))).await
    }

    /// Takes the first message of a queue, to be acknowledged or requeued; `None` if the queue is
    /// empty. Not for a channel that consumes.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn get(&self, queue: &str) -> Result<Option<Delivery>, Failure> {
        let get = basic::AMQPMethod::Get(basic::Get { queue: queue.into(), no_ack: false });
        self.state.lock().answered = false;
        self.send_method(AMQPClass::Basic(get)).await?;
        self.wait_until(|known| known.answered || known.deliveries.are_ready()).await?;
        let mut taken = self.state.lock().deliveries.take(1, 1);
        self.state.room.notify_one();
        Ok(taken.pop())
    }

    /// Waits for messages and returns those that have arrived, in their order: at most `most`, and
    /// none beyond the one that reaches `bytes`. Cancel safe.
    ///
    /// # Errors
    /// When no more can arrive: see [`Failure`].
    pub async fn deliveries(&self, most: usize, bytes: usize) -> Result<Vec<Delivery>, Failure> {
        self.wait_until(|known| known.deliveries.are_ready()).await?;
        let taken = self.state.lock().deliveries.take(most, bytes);
        self.state.room.notify_one();
        Ok(taken)
    }

    /// Returns true if a message, or a part of one, has arrived and was not taken.
    pub fn is_receiving(&self) -> bool {
        self.state.lock().deliveries.is_receiving()
    }

    /// Acknowledges the message with this tag and all delivered before it.
    ///
    /// # Errors
    /// Why it can't be told any more.
    pub async fn acknowledge_up_to(&self, delivery_tag: u64) -> Result<(), String> {
        let ack = basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple: true });
        self.send_method(AMQPClass::Basic(ack)).await.map_err(|failure| failure.to_string())
    }

    /// Acknowledges the messages with these tags, and no others.
    ///
    /// # Errors
    /// Why it can't be told any more.
    pub async fn acknowledge(&self, delivery_tags: &[u64]) -> Result<(), String> {
        for &delivery_tag in delivery_tags {
            let ack = basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple: false });
            self.send_method(AMQPClass::Basic(ack)).await.map_err(|failure| failure.to_string())?;
        }
        Ok(())
    }

    /// Requeues the messages with these tags.
    ///
    /// # Errors
    /// Why it can't be told any more.
    pub async fn return_to_queue(&self, delivery_tags: &[u64]) -> Result<(), String> {
        for &delivery_tag in delivery_tags {
            let nack = basic::Nack { delivery_tag, multiple: false, requeue: true };
            let nack = AMQPClass::Basic(basic::AMQPMethod::Nack(nack));
            self.send_method(nack).await.map_err(|failure| failure.to_string())?;
        }
        Ok(())
    }
}
