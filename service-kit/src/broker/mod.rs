//! RabbitMQ: the URL and a connection with limits on every wait.

mod connect;
mod url;

pub use connect::{connect, reason};
pub use url::{BrokerArgs, BrokerUrl};
