//! A connection to RabbitMQ for one that publishes: AMQP 0-9-1 with publisher confirms
//! (<https://www.rabbitmq.com/amqp-0-9-1-reference>, <https://www.rabbitmq.com/docs/confirms>).
//!
//! [`handshake`] logs in, [`reader`] takes what the broker says and [`keeper`] answers it; a [`Channel`] hands over messages and
//! learns of their [`confirms`]. [`wire`], [`heard`] and [`writer`] know how all that looks in bytes.

mod channel;
mod confirms;
mod connection;
mod handshake;
mod heard;
mod keeper;
mod reader;
mod wire;
mod writer;

pub(crate) use channel::{Channel, Failure};
pub(crate) use confirms::{Outcome, Return};
pub(crate) use connection::Connection;
pub(crate) use heard::Goodbye;
pub(crate) use wire::content_header;
