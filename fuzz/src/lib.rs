#![doc = include_str!("../README.md")]

mod connection;
mod consumer;
mod dead_letter;
mod delivery;
mod memory;
mod properties;
mod text;

pub use connection::{amqp_connection, amqp_handshake};
pub use consumer::consumer_message;
pub use dead_letter::dead_letter;
pub use properties::amqp_properties;
pub use text::{failure_reason, http_text};

/// A target: it takes any bytes, and panics when they make the pipeline break a promise.
pub type Target = fn(&[u8]);

/// All targets, by the names of their folders in `corpus/`.
pub const TARGETS: [(&str, Target); 7] = [
    ("amqp_connection", amqp_connection),
    ("amqp_handshake", amqp_handshake),
    ("amqp_properties", amqp_properties),
    ("consumer_message", consumer_message),
    ("dead_letter", dead_letter),
    ("failure_reason", failure_reason),
    ("http_text", http_text),
];
