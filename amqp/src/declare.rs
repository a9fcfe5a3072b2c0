//! Declaring, binding and deleting exchanges and queues.

use amq_protocol::protocol::{AMQPClass, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable, ShortString};

use super::channel::Channel;
use super::failure::Failure;
use super::method::QueueDepth;

impl Channel {
    /// Declares a durable exchange; if `passive`, only checks that there is one of that name.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn declare_exchange(
        &self,
        exchange: ShortString,
        kind: &str,
        passive: bool,
    ) -> Result<(), Failure> {
        let declare = exchange::AMQPMethod::Declare(exchange::Declare {
            exchange,
            kind: kind.into(),
            passive,
            durable: true,
            auto_delete: false,
            internal: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        self.request(AMQPClass::Exchange(declare)).await
    }

    /// Declares a durable queue.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn declare_queue(&self, queue: &str, arguments: FieldTable) -> Result<(), Failure> {
        let declare = queue::AMQPMethod::Declare(queue::Declare {
            queue: queue.into(),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments,
        });
        self.request(AMQPClass::Queue(declare)).await
    }

    /// Declares an exclusive queue, which ends with this connection and serves as a lock.
    ///
    /// # Errors
    /// See [`Failure`]; the channel is closed with 405 if another connection has it.
    pub async fn declare_exclusive_queue(&self, queue: &str) -> Result<(), Failure> {
        // A virtual host may make quorum queues by default, which can't be exclusive.
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
        let declare = queue::AMQPMethod::Declare(queue::Declare {
            queue: queue.into(),
            passive: false,
            durable: false,
            exclusive: true,
            auto_delete: false,
            nowait: false,
            arguments,
        });
        self.request(AMQPClass::Queue(declare)).await
    }

    /// Returns how many messages and consumers a queue has.
    ///
    /// # Errors
    /// See [`Failure`]; the channel is closed if there is no such queue.
    pub async fn depth(&self, queue: &str) -> Result<QueueDepth, Failure> {
        let declare = queue::AMQPMethod::Declare(queue::Declare {
            queue: queue.into(),
            passive: true,
            durable: false,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        self.request(AMQPClass::Queue(declare)).await?;
        Ok(self.last_depth())
    }

    /// Deletes a queue with its messages.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn delete_queue(&self, queue: &str) -> Result<(), Failure> {
        let delete = queue::AMQPMethod::Delete(queue::Delete {
            queue: queue.into(),
            if_unused: false,
            if_empty: false,
            nowait: false,
        });
        self.request(AMQPClass::Queue(delete)).await
    }

    /// Removes a binding; succeeds if there is none.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn unbind_queue(
        &self,
        queue: &str,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), Failure> {
        let unbind = queue::AMQPMethod::Unbind(queue::Unbind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            arguments: FieldTable::default(),
        });
        self.request(AMQPClass::Queue(unbind)).await
    }

    /// Binds a queue to an exchange.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn bind_queue(
        &self,
        queue: &str,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), Failure> {
        let bind = queue::AMQPMethod::Bind(queue::Bind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            nowait: false,
            arguments: FieldTable::default(),
        });
        self.request(AMQPClass::Queue(bind)).await
    }
}
