//! Messages that come over a channel, and what the broker is told of them.

use amq_protocol::protocol::{AMQPClass, basic};
use amq_protocol::types::FieldTable;

use super::channel::Channel;
use super::delivery::Delivery;
use super::failure::Failure;

/// The name of a channel's consumer, of which there is one.
const CONSUMER: &str = "consumer";

impl Channel {
    /// Has the broker deliver the messages of a queue, `prefetch` that are not acknowledged at the most.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn consume(&self, queue: &str, prefetch: u16) -> Result<(), Failure> {
        let qos = basic::Qos { prefetch_count: prefetch, global: false };
        self.ask(AMQPClass::Basic(basic::AMQPMethod::Qos(qos))).await?;
        let consume = basic::AMQPMethod::Consume(basic::Consume {
            queue: queue.into(),
            consumer_tag: CONSUMER.into(),
            no_local: false,
            no_ack: false,
            exclusive: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        self.ask(AMQPClass::Basic(consume)).await?;
        self.state.lock().is_consuming = true;
        Ok(())
    }

    /// Has the broker deliver no more.
    pub(super) async fn cancel(&self) -> Result<(), Failure> {
        let cancel = basic::Cancel { consumer_tag: CONSUMER.into(), nowait: false };
        self.ask(AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel))).await
    }

    /// Takes the first message of a queue, to be acknowledged or returned; none when none waits. Not on a channel that consumes.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn get(&self, queue: &str) -> Result<Option<Delivery>, Failure> {
        let get = basic::AMQPMethod::Get(basic::Get { queue: queue.into(), no_ack: false });
        self.state.lock().answered = false;
        self.tell(AMQPClass::Basic(get)).await?;
        self.wait_until(|known| known.answered || known.deliveries.are_there()).await?;
        let mut taken = self.state.lock().deliveries.take(1, 1);
        self.state.room.notify_one();
        Ok(taken.pop())
    }

    /// Waits for messages and takes those that have arrived, in their order: `most` of them, and no further one once they have so many
    /// `bytes`. None is lost when the wait is given up.
    ///
    /// # Errors
    /// When no more can come: see [`Failure`].
    pub async fn deliveries(&self, most: usize, bytes: usize) -> Result<Vec<Delivery>, Failure> {
        self.wait_until(|known| known.deliveries.are_there()).await?;
        let taken = self.state.lock().deliveries.take(most, bytes);
        self.state.room.notify_one();
        Ok(taken)
    }

    /// Whether a message has come that nobody has taken yet, or a part of one.
    pub fn is_receiving(&self) -> bool {
        self.state.lock().deliveries.is_any()
    }

    /// Acknowledges the message with this tag and all that were delivered before it.
    ///
    /// # Errors
    /// Why it can't be told any more.
    pub async fn acknowledge_up_to(&self, delivery_tag: u64) -> Result<(), String> {
        let ack = basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple: true });
        self.tell(AMQPClass::Basic(ack)).await.map_err(|failure| failure.to_string())
    }

    /// Acknowledges the messages with these tags, and no others.
    ///
    /// # Errors
    /// Why it can't be told any more.
    pub async fn acknowledge(&self, delivery_tags: &[u64]) -> Result<(), String> {
        for &delivery_tag in delivery_tags {
            let ack = basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple: false });
            self.tell(AMQPClass::Basic(ack)).await.map_err(|failure| failure.to_string())?;
        }
        Ok(())
    }

    /// Has the broker put the messages with these tags back into their queue.
    ///
    /// # Errors
    /// Why it can't be told any more.
    pub async fn return_to_queue(&self, delivery_tags: &[u64]) -> Result<(), String> {
        for &delivery_tag in delivery_tags {
            let nack = basic::Nack { delivery_tag, multiple: false, requeue: true };
            let nack = AMQPClass::Basic(basic::AMQPMethod::Nack(nack));
            self.tell(nack).await.map_err(|failure| failure.to_string())?;
        }
        Ok(())
    }
}
