//! A connection to RabbitMQ of our own: AMQP 0-9-1 (<https://www.rabbitmq.com/amqp-0-9-1-reference>) as far as publishing with
//! confirms (<https://www.rabbitmq.com/docs/confirms>) and consuming go.
//!
//! `handshake` logs in, `reader` takes what the broker says and `keeper` answers it. A [`Channel`] hands over each [`Message`] and
//! learns of their `confirms`, or is handed `deliveries` (`receive`); it can `declare` what there is to be, and find out in a `transaction` or by what is `impossible` what it may do. `wire`, `heard`, `properties` and `writer` know how all that looks in
//! bytes.

mod channel;
mod confirms;
mod connection;
mod declare;
mod deliveries;
mod delivery;
mod failure;
mod handshake;
mod heard;
mod impossible;
mod keeper;
mod message;
mod properties;
mod reader;
mod receive;
mod transaction;
mod wire;
mod writer;

pub use channel::Channel;
pub use confirms::{Outcome, Return};
pub use connection::Connection;
pub use delivery::{Delivery, Envelope};
pub use failure::Failure;
pub use heard::{Depth, Goodbye};
pub use message::Message;
pub use wire::content_header;
