//! Publishes the rows of a PostgreSQL `outbox` table to RabbitMQ: at least once, an aggregate's events in order.
//!
//! An event passes through three files, in this order:
//!
//! | file | step |
//! |---|---|
//! | `claim` | which rows are next |
//! | `publish` | rounds of one event per aggregate (`window`), one verdict per event; `isolate` finds a message that makes the broker close the channel |
//! | `settle` | one statement for the published, one for the failed |
//!
//! Around them: `relay` (one step and the loop that repeats it), `lock` (which relay publishes), `message` with
//! `headers` and `envelope` (a row as an AMQP message), `database` with `queries` and `broker` with `topology` (the two
//! connections), `link` (keeping a connection open), `backlog` and `measure` (metrics), `config`, `cli` (what can be
//! typed), `app` (puts it together).

mod app;
mod backlog;
mod broker;
mod claim;
mod cli;
mod config;
mod database;
mod envelope;
mod headers;
mod isolate;
mod link;
mod lock;
mod measure;
mod message;
mod publish;
mod queries;
mod relay;
mod settle;
mod table;
mod topology;
mod verdict;
mod window;

pub use app::run;
pub use cli::{Cli, Command};
pub use config::Config;
pub use relay::{Outcome, Relay};
pub use table::OutboxTable;
