//! Publishes the rows of a PostgreSQL `outbox` table to RabbitMQ: at least once, an aggregate's
//! events in order.
//!
//! > **poll** (which rows are pending) → **queue** (which may be sent now, per aggregate) →
//! > **publish** (a window, confirmed) → **settle** (note the outcome)
//!
//! Each step is a folder:
//!
//! - `poll`: `scanner` (which rows to read), `watermark` (the id below which no row can appear),
//!   `interval` (how often to scan)
//! - `queue`: `aggregate_queue` (the ordering rule: which event of an aggregate may be sent)
//! - `publish`: `dispatcher` (which events go into the next window), `load` (their contents),
//!   `message` (a row as an AMQP message), `window` (sent, then confirmed), `verdict` (the outcome)
//! - `settle`: `batch` (outcomes to be written), `schedule` (when), `unsettled` (those that can't
//!   be written for now)
//!
//! What an event failed of: `cause` (`kind`, and `fingerprint`, by which failures form groups).
//!
//! What consumers could not process: `dead_letters` (messages of a dead-letter queue as rows).
//!
//! Around them: `relay` (the loop, its tick and its connections), `lanes` (which relay owns which
//! share), `broker` and `database` (connections and statements), `inspector` (reads the table
//! beside the loop: overlooked events, metrics of the backlog), `prune` (deletes old published
//! rows), `prune_audit` (deletes old audit rows), `pauses` (what is not published for now),
//! `metrics`, `config`, `cli`, `help`, `manual` (completions and man pages), `commands` (what a
//! person can run), `console` (the same in a browser), `app` (puts it together) and `fuzz` (what the
//! fuzzer calls).

mod app;
mod broker;
mod cause;
mod cli;
mod commands;
mod config;
#[cfg(feature = "console")]
mod console;
mod database;
mod dead_letters;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod help;
mod inspector;
mod lanes;
mod manual;
mod metrics;
mod pauses;
mod poll;
mod prune;
mod prune_audit;
mod publish;
mod queue;
mod relay;
mod settle;

pub use app::run;
pub use cli::{Cli, Command};
pub use commands::AdminCommand;
pub use config::Config;
#[cfg(feature = "console")]
pub use console::{ConsoleConfig, openapi_document};
pub use database::OutboxTable;
pub use manual::ManualCommand;
pub use relay::{Relay, TickOutcome};
