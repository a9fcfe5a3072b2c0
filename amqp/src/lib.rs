#![doc = include_str!("../README.md")]

mod broker;
mod channel;
mod channel_state;
mod confirms;
mod connection;
mod consume;
mod content_header;
mod declare;
mod decoder;
mod deliveries;
mod delivery;
mod failure;
mod frame;
mod handshake;
mod message;
mod method;
mod probes;
mod properties;
mod reader;
mod responder;
mod transaction;
mod writer;

pub use broker::{Address, BrokerArgs, BrokerStream, BrokerUrl, IsAlive, Stream};
pub use channel::Channel;
pub use confirms::{Outcome, Return};
pub use connection::Connection;
pub use content_header::ContentHeader;
pub use delivery::{Delivery, DeliveryInfo};
pub use failure::Failure;
pub use frame::content_header;
pub use message::Message;
pub use method::{CloseReason, QueueDepth};
pub use properties::EncodedProperties;
