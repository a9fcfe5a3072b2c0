//! Requests that RabbitMQ always refuses, to find out permissions and features without any effect.
//! RabbitMQ checks permissions before arguments, and changes nothing before it has checked both:
//! the reply code tells which check failed.

use amq_protocol::protocol::{AMQPClass, basic, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable};

use super::channel::Channel;
use super::failure::Failure;

impl Channel {
    /// Declares a stream that is not durable, which is not allowed: a broker with streams enabled
    /// refuses it with 406.
    ///
    /// # Errors
    /// See [`Failure`]; RabbitMQ always returns one.
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
        self.request(AMQPClass::Queue(declare)).await
    }

    /// Declares a queue whose argument `x-dead-letter-exchange` is a table instead of a name.
    ///
    /// # Errors
    /// See [`Failure`]: the channel is closed with 403 if the user may not configure the queue,
    /// else with 406, whether the queue exists or not.
    pub async fn declare_impossible_queue(&self, queue: &str) -> Result<(), Failure> {
        self.declare_queue(queue, absurd("x-dead-letter-exchange")).await
    }

    /// Declares an exchange whose argument `alternate-exchange` is a table instead of a name.
    ///
    /// # Errors
    /// See [`Failure`]: the channel is closed with 403 if the user may not configure the exchange,
    /// else with 406, unless the exchange exists.
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
        self.request(AMQPClass::Exchange(declare)).await
    }

    /// Consumes a queue with a table instead of a number for the argument `x-priority`.
    ///
    /// # Errors
    /// See [`Failure`]: the channel is closed with 403 if the user may not read the queue, with 404
    /// if there is none, else with 406.
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
        self.request(AMQPClass::Basic(consume)).await
    }
}

/// Arguments of which `argument` has a table for its value, a type that RabbitMQ refuses for it.
fn absurd(argument: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert(argument.into(), AMQPValue::FieldTable(FieldTable::default()));
    arguments
}
