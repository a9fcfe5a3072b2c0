//! Customers, and how many orders each of them made.
//!
//! One binary, two roles in processes of their own:
//!
//! | module | what it does |
//! |---|---|
//! | [`api`] | the HTTP API over the customers |
//! | [`consumer`] | counts each `order.created` event once, from RabbitMQ |
//! | [`config`] | the settings of both, and the commands `migrate` and `openapi` |
//! | [`schema`] | the database's migrations |

pub mod api;
pub mod config;
pub mod consumer;
pub mod schema;

mod queries;
