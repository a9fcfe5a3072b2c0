#![doc = include_str!("../README.md")]

pub mod backoff;
pub mod config;
pub mod failover;
pub mod health;
pub mod healthcheck;
mod host_port;
pub mod http;
pub mod ops;
pub mod postgres;
pub mod process;
pub mod telemetry;
pub mod tls;
pub mod trace;

pub use host_port::HostPort;
