#![doc = include_str!("../README.md")]

mod allocator;
pub mod amqp;
pub mod backoff;
pub mod broker;
pub mod config;
pub mod health;
mod host_port;
pub mod http;
pub mod ops;
mod parameter;
pub mod postgres;
pub mod probe;
pub mod process;
pub mod telemetry;
mod tls;
pub mod trace;
mod turn;

pub use host_port::HostPort;
