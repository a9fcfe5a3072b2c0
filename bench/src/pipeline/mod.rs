//! The measured system: the release programs as processes, configured by environment variables.
//!
//! `programs` builds and starts them; `orders` is the order database; `processes` connects them to
//! two databases and a virtual host, and checks that each accepted order is counted once; `cost`
//! measures what each of them uses, `backlog` watches what is not counted yet, and `phases` reads
//! where the time of requests went.

mod backlog;
mod cost;
mod orders;
mod phases;
mod processes;
mod programs;

pub(crate) use backlog::{BacklogSample, as_many_as_counted, watched};
pub(crate) use cost::{Cost, Usage};
pub(crate) use orders::OrderDatabase;
pub(crate) use phases::{PHASES, Phases};
pub(crate) use processes::{Apis, Pipeline, Workers};
pub(crate) use programs::{Api, Programs};

/// Keep-alive connections that saturate the order service.
pub(crate) const CONNECTIONS: usize = 64;

/// Customers, who order in turn.
pub(crate) const CUSTOMERS: usize = 1000;
