#![doc = include_str!("../README.md")]

pub mod backoff;
pub mod config;
pub mod failover;
pub mod health;
pub mod healthcheck;
mod host_port;
#[cfg(feature = "api")]
pub mod http;
mod listener;
pub mod ops;
pub mod postgres;
pub mod problem;
pub mod process;
pub mod prune;
pub mod telemetry;
pub mod tls;
pub mod trace;

pub use host_port::HostPort;
