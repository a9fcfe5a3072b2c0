//! Generates load on an HTTP service from a single thread: on a shared machine, whatever the
//! generator uses is missing elsewhere.
//!
//! `closed_loop` sends on each connection once the last request was answered, which measures
//! throughput. `open_loop` sends at a fixed rate, whatever became of earlier requests, which
//! measures latency at that rate. Both drive `connections`, woken by responses and a `timer`. A
//! `request` is sent over a `connection`; `load_result` collects the results; `backlog_limit` holds
//! back orders that would only pile up behind the service.

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
