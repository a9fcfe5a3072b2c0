//! Accepts orders over HTTP; an order and its event are written in one PostgreSQL transaction.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | the settings |
//! | [`app`] | builds, starts and stops the process |
//! | [`api`] | the operations over HTTP, and their OpenAPI document |
//! | [`domain`] | what an order is made of |
//! | `orders`, `queries` | what is done with orders, one statement each |
//! | `group_commit` | orders that wait at the same moment are written by one statement |
//! | `batched_reads` | orders that are asked for at the same moment are read by one statement |
//! | [`idempotency`] | `Idempotency-Key` |
//! | `event_trace` | the trace that an event carries, and the span of its creation |
//! | `metrics` | what is counted |
//! | [`customers`] | the customer service: client, cache, circuit breaker, check |
//! | [`schema`] | the database's schema |

pub mod api;
pub mod app;
mod batched_reads;
pub mod config;
pub mod customers;
pub mod domain;
mod event_trace;
mod group_commit;
pub mod idempotency;
mod metrics;
mod orders;
mod queries;
pub mod schema;

pub use app::{Listeners, run};
pub use config::{Cli, Command, Config};
