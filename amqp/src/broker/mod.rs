//! `RABBITMQ_URL`: brokers, TLS settings, and which broker is tried first.

mod address;
mod connect;
mod stream;
mod tls;
mod url;

pub use address::Address;
pub use stream::{BrokerStream, Stream};
pub use url::{BrokerArgs, BrokerUrl, IsAlive};
