//! Load on an HTTP service, from a thread that does nothing else: on a machine that is shared with
//! the service, what the generator takes is missing elsewhere.
//!
//! `closed_loop` sends on each connection when the last answer has come: what the service can
//! carry. `open_loop` sends when the time has come, whatever became of the requests before: what a
//! client waits at a given rate. `connections` are at work at the same time, woken by answers and a
//! `timer`; `request` says what is sent, `connection` how, `load_result` what came of it;
//! `backlog_limit` holds orders back that would only pile up behind the service.

mod backlog_limit;
mod closed_loop;
mod connection;
mod connections;
mod load_result;
mod open_loop;
mod request;
mod timer;

pub(crate) use backlog_limit::BacklogLimit;
pub(crate) use closed_loop::ClosedLoop;
pub(crate) use load_result::{Accepted, LoadResult, SLICE};
pub(crate) use open_loop::OpenLoop;
pub(crate) use request::Requests;
