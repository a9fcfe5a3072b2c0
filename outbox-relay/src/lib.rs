//! Publishes the rows of a PostgreSQL `outbox` table to RabbitMQ: at least once, an aggregate's
//! events in order.
//!
//! An event passes through these files, in this order:
//!
//! | step | folder | what is in it |
//! |---|---|---|
//! | poll | `poll` | which rows are pending: `scanner` (which rows to read), `watermark` (below which id no row can appear), `interval` (how often) |
//! | queue | `queue` | which of them may be sent now, and which wait behind another of their aggregate |
//! | publish | `publish` | `dispatcher` (which go into the next window), `load` (their contents), `message` (a row as an AMQP message), `window` (sent and confirmed), `verdict` (the outcome) |
//! | settle | `settle` | the outcomes are written into the rows; `unsettled`: those that can't be written for now |
//!
//! Around them: `relay` (the loop, its tick and its connections), `lanes` (which relay owns which
//! share), `broker` and `database` (connections and statements), `inspector` (reads the table
//! beside the loop: overlooked events, metrics of the backlog), `prune` (deletes old published
//! rows), `metrics`, `config`, `cli`, `help`, `commands` (what a person can run) and `app` (puts it
//! together).

mod app;
mod broker;
mod cli;
mod commands;
mod config;
mod database;
mod help;
mod inspector;
mod lanes;
mod metrics;
mod poll;
mod prune;
mod publish;
mod queue;
mod relay;
mod settle;

pub use app::run;
pub use cli::{Cli, Command};
pub use commands::Errand;
pub use config::Config;
pub use database::OutboxTable;
pub use relay::{Outcome, Relay};
