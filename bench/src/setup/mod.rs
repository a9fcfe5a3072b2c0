//! What the measurements run on.
//!
//! `servers` starts PostgreSQL and RabbitMQ. `outbox` is a database with `events` and `inserts` to
//! write to it; `queue` is a virtual host, and `arrivals` consumes from it. `relay` starts the
//! program, `draining` runs it on a backlog, `statements` counts its statements.

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
