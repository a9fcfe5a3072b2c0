//! RabbitMQ: the URLs of the brokers and their TLS settings, and a connection with limits on every wait.

mod address;
mod connect;
mod tls;
mod url;

pub use connect::{connect, reason};
pub use url::{BrokerArgs, BrokerUrl};
