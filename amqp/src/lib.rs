#![doc = include_str!("../README.md")]

mod broker;
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

pub use broker::{Address, BrokerArgs, BrokerStream, BrokerUrl, Lives, Stream};
pub use channel::Channel;
pub use confirms::{Outcome, Return};
pub use connection::Connection;
pub use delivery::{Delivery, Envelope};
pub use failure::Failure;
pub use heard::{Depth, Goodbye};
pub use message::Message;
pub use wire::content_header;
