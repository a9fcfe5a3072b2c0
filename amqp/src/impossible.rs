//! Requests that RabbitMQ always refuses. Its reply code tells whether the user has the permission, or whether streams are switched on: it checks permissions
//! before arguments, and changes nothing before it has checked both.

use amq_protocol::protocol::{AMQPClass, basic, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable};

use super::channel::Channel;
use super::failure::Failure;

impl Channel {
    /// Declares a stream that is not durable, which no broker makes: one whose streams are switched on refuses it with 406.
    ///
    /// # Errors
    /// See [`Failure`]. There is no other outcome with RabbitMQ.
    pub async fn declare_impossible_stream(&self, queue: &str) -> Result<(), Failure> {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        let declare = queue::AMQPMethod::Declare(queue::Declare {
            queue: queue.into(),
            passive: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments,
        });
        self.ask(AMQPClass::Queue(declare)).await
    }

    /// Declares a queue whose argument `x-dead-letter-exchange` is a table instead of a name.
    ///
    /// # Errors
    /// See [`Failure`]: the channel is closed with 403 when the user may not configure the queue, else with 406, whether the queue is there or not.
    pub async fn declare_impossible_queue(&self, queue: &str) -> Result<(), Failure> {
        self.declare_queue(queue, absurd("x-dead-letter-exchange")).await
    }

    /// Declares an exchange whose argument `alternate-exchange` is a table instead of a name.
    ///
    /// # Errors
    /// See [`Failure`]: the channel is closed with 403 when the user may not configure the exchange, else with 406, unless the exchange is there.
    pub async fn declare_impossible_exchange(
        &self,
        exchange: &str,
        kind: &str,
    ) -> Result<(), Failure> {
        let declare = exchange::AMQPMethod::Declare(exchange::Declare {
            exchange: exchange.into(),
            kind: kind.into(),
            passive: false,
            durable: true,
            auto_delete: false,
            internal: false,
            nowait: false,
            arguments: absurd("alternate-exchange"),
        });
        self.ask(AMQPClass::Exchange(declare)).await
    }

    /// Consumes a queue with a table instead of a number for the argument `x-priority`.
    ///
    /// # Errors
    /// See [`Failure`]: the channel is closed with 403 when the user may not read the queue, with 404 when there is none, else with 406.
    pub async fn consume_impossibly(&self, queue: &str) -> Result<(), Failure> {
        let consume = basic::AMQPMethod::Consume(basic::Consume {
            queue: queue.into(),
            consumer_tag: "".into(),
            no_local: false,
            no_ack: false,
            exclusive: false,
            nowait: false,
            arguments: absurd("x-priority"),
        });
        self.ask(AMQPClass::Basic(consume)).await
    }
}

/// Arguments of which `argument` has a table for its value, a type that RabbitMQ refuses for it.
fn absurd(argument: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert(argument.into(), AMQPValue::FieldTable(FieldTable::default()));
    arguments
}
