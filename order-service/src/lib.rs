//! Accepts orders over HTTP; an order and its event are written in one PostgreSQL transaction.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | the settings |
//! | [`app`] | builds, starts and stops the process |
//! | [`api`] | the operations over HTTP, and their OpenAPI document |
//! | [`domain`] | what an order is made of |
//! | `orders`, `queries` | what is done with orders, one statement each |
//! | `joined` | orders that wait at the same moment are written by one statement |
//! | [`idempotency`], [`trace_context`] | `Idempotency-Key`; the request's trace handed on with the event |
//! | [`customers`] | the customer service: client, cache, circuit breaker, check |
//! | [`schema`] | the database's schema |

pub mod api;
pub mod app;
pub mod config;
pub mod customers;
pub mod domain;
pub mod idempotency;
mod joined;
mod orders;
mod queries;
pub mod schema;
pub mod trace_context;

pub use app::{Listeners, run};
pub use config::{Cli, Command, Config};
