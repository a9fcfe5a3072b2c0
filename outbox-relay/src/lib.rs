//! Publishes the rows of a PostgreSQL `outbox` table to RabbitMQ: at least once, an aggregate's events in order.
//!
//! An event passes through these files, in this order:
//!
//! | file | step |
//! |---|---|
//! | `poll` | which rows are pending: `scanner` (where and when to read), `watermark` (which ids may still appear), `interval` (how often) |
//! | `queue` | which of them may be sent now, and which wait behind another of their aggregate |
//! | `dispatcher` | which go into the next window (after a confirm timeout few: `slow_start`), and which go `apart`; `load` gets their contents, each a `claim` |
//! | `publish` | a `window` of them, sent and then confirmed, one `verdict` each; `isolate` finds a message that makes the broker close the channel, `refusals` says what follows from that |
//! | `settling` | when outcomes (a `settlement` of them) are noted; `settle`: one statement for the published, one for the failed; `unsettled`: events whose rows can't be changed for now |
//!
//! Around them: `relay` (what happens in one turn, and the loop that repeats it), `lanes` (which relay owns which share),
//! `acknowledge` (tells commands when a change has come to this relay) with `sent`, `prune` (old published rows), `inspector` with
//! `sweep` and `backlog` (what reads the table beside the turns: overlooked events, metrics), `message` with `headers` and `envelope`
//! (a row as an AMQP message), `sending` (its part in a trace), `database` with `queries`,
//! `table`, `columns` and `hidden` (rows that the role may not see), `broker` with `topology` (the connections, each a [`amqp`] one), `link` (keeping them open), `measure` (metrics), `report` (the log), `config`,
//! `cli` with `commands` and `help` (what can be typed), `app` (puts it together).

mod acknowledge;
mod apart;
mod app;
mod backlog;
mod broker;
mod claim;
mod cli;
mod columns;
mod commands;
mod config;
mod created;
mod database;
mod dispatcher;
mod envelope;
mod headers;
mod help;
mod inspector;
mod isolate;
mod lanes;
mod link;
mod load;
mod measure;
mod message;
mod poll;
mod prune;
mod publish;
mod queries;
mod queue;
mod refusals;
mod relay;
mod report;
mod row_security;
mod sending;
mod sent;
mod settle;
mod settlement;
mod settling;
mod slow_start;
mod sweep;
mod table;
mod topology;
mod unsettled;
mod verdict;
mod window;

pub use app::run;
pub use cli::{Cli, Command};
pub use commands::AdminCommand;
pub use config::Config;
pub use relay::{Outcome, Relay};
pub use table::OutboxTable;
