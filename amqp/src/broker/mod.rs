//! RabbitMQ: the URLs of the brokers and their TLS settings, and a connection with limits on every wait.

mod address;
mod connect;
mod stream;
mod tls;
mod url;

pub use address::Address;
pub use stream::{BrokerStream, Stream};
pub use url::{BrokerArgs, BrokerUrl, Lives};
