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
//! | `event_trace`, `creation` | the trace handed on with the event; the event's creation as a part of it |
//! | `metrics` | what is counted of orders, besides what `group_commit` and `batched_reads` count |
//! | [`customers`] | the customer service: client, cache, circuit breaker, check |
//! | [`schema`] | the database's schema |

pub mod api;
pub mod app;
mod batched_reads;
pub mod config;
mod creation;
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
