//! Load on an HTTP service, from a thread that does nothing else: on a machine that is shared with the service, what
//! the generator takes is missing elsewhere.
//!
//! `closed` sends on each connection when the last answer has come: what the service can carry. `open` sends when the time has
//! come, whatever became of the requests before: what a client waits at a given rate. `connections` are at work at the same time, woken by
//! answers and a `timer`; `request` says what is sent, `connection` how, `tally` what came of it; `gate` holds orders back that would only pile up behind the service.

mod closed;
mod connection;
mod connections;
mod gate;
mod open;
mod request;
mod tally;
mod timer;

pub(crate) use closed::Closed;
pub(crate) use gate::Gate;
pub(crate) use open::Open;
pub(crate) use request::Requests;
pub(crate) use tally::{Accepted, SLICE, Tally};
