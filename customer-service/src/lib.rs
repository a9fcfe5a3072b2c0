//! Customers, and how many orders each of them has made.
//!
//! One binary with two roles, each in its own process:
//!
//! | module | what it does |
//! |---|---|
//! | [`api`] | the HTTP API of customers |
//! | [`consumer`] | counts each `order.created` event once, from RabbitMQ |
//! | [`config`] | the command line: both roles, and `migrate`, `roles`, `health` and `openapi` |
//! | [`schema`] | the migrations and roles of the database |

pub mod api;
pub mod config;
pub mod consumer;
pub mod schema;

mod queries;
