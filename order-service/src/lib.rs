//! The order service: accepts orders over HTTP and writes each with its event in one PostgreSQL
//! transaction.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | the settings |
//! | [`app`] | builds, starts and stops the process |
//! | [`api`] | the HTTP API and its OpenAPI document |
//! | `domain` | orders and their parts |
//! | `orders`, `queries` | the operations on orders; their SQL statements |
//! | `group_commit` | orders that are queued at the same moment are written by one statement |
//! | `batched_reads` | orders that are requested at the same moment are read by one statement |
//! | [`idempotency`] | repeated requests with one `Idempotency-Key`; pruning of old keys |
//! | `event_trace` | the trace that an event carries, and the span of its creation |
//! | `metrics` | the metrics |
//! | `customers` | lookups at the customer service: client, cache, circuit breaker, check |
//! | [`schema`] | the migrations and the role of the database |

pub mod api;
pub mod app;
mod batched_reads;
pub mod config;
mod customers;
mod domain;
mod event_trace;
mod group_commit;
pub mod idempotency;
mod metrics;
mod orders;
mod phases;
mod queries;
pub mod schema;

pub use app::{Listeners, run};
pub use config::{Cli, Command, Config};
