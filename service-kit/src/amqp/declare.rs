//! Exchanges, queues and bindings.

use amq_protocol::protocol::{AMQPClass, exchange, queue};
use amq_protocol::types::{FieldTable, ShortString};

use super::channel::Channel;
use super::failure::Failure;

impl Channel {
    /// Declares a durable exchange, or, `passive`, only asks whether there is one of that name.
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
        self.ask(AMQPClass::Exchange(declare)).await
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
        self.ask(AMQPClass::Queue(declare)).await
    }

    /// How many messages wait in a queue.
    ///
    /// # Errors
    /// See [`Failure`]; the channel is closed when there is no such queue.
    pub async fn depth(&self, queue: &str) -> Result<u32, Failure> {
        let declare = queue::AMQPMethod::Declare(queue::Declare {
            queue: queue.into(),
            passive: true,
            durable: false,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: FieldTable::default(),
        });
        self.ask(AMQPClass::Queue(declare)).await?;
        Ok(self.messages())
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
        self.ask(AMQPClass::Queue(bind)).await
    }
}
