//! What each process of the pipeline needs and none owns.
//!
//! | module | what it gives |
//! |---|---|
//! | [`config`] | settings from flags, environment and `NAME_FILE`, checked once |
//! | [`process`] | what a `main` needs: telemetry, signals, exit codes, the allocator |
//! | [`telemetry`] | logs to stderr, metrics for the operations port |
//! | [`trace`] | traces, when there is a collector to take them |
//! | [`health`], [`ops`] | which dependency is up, and the port that tells: `/livez`, `/readyz`, `/metrics` |
//! | [`HostPort`] | an address to listen on |
//! | [`probe`] | asks that port, for health checks |
//! | [`backoff`] | waiting between attempts, exponential with jitter |
//! | [`postgres`] | connections with TLS to one of several hosts, a pool that sheds load, migrations |
//! | [`failover`], [`tls`], [`parameter`] | what connections to PostgreSQL and to RabbitMQ share |
//! | [`http`] | problem+json, request ids, bodies whose faults are reported all at once |

pub mod backoff;
pub mod config;
pub mod failover;
pub mod health;
mod host_port;
pub mod http;
pub mod ops;
pub mod parameter;
pub mod postgres;
pub mod probe;
pub mod process;
pub mod telemetry;
pub mod tls;
pub mod trace;

pub use host_port::HostPort;
