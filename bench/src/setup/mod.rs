//! What the measures stand on.
//!
//! `servers` starts PostgreSQL and RabbitMQ; `outbox` is a database in one, `events` and `inserts`
//! what is written to it, `queue` a virtual host in the other with `arrivals` at its end; `relay`
//! starts the program, `draining` lets it work off a backlog, `statements` counts what it asks.

mod arrivals;
mod draining;
mod events;
mod inserts;
mod outbox;
mod queue;
mod relay;
mod servers;
mod statements;

pub(crate) use arrivals::Arrivals;
pub(crate) use draining::{Drained, Draining};
pub(crate) use events::{Events, PAYLOAD};
pub(crate) use inserts::Inserts;
pub(crate) use outbox::Outbox;
pub(crate) use queue::{EXCHANGE, Queue};
pub(crate) use relay::{RelayArgs, RelayProgram};
pub(crate) use servers::{Servers, backend, connect, connect_alone};
pub(crate) use statements::{Statements, Window};
