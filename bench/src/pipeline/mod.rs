//! The system that is measured: the release programs as processes, told everything by environment
//! variables.
//!
//! `programs` builds and starts them; `orders` is the order database; `processes` puts them between
//! two databases and a virtual host, and sees that each accepted order is counted once; `cost`
//! tells what each of them used.

mod cost;
mod orders;
mod processes;
mod programs;

pub(crate) use cost::{Cost, Usage};
pub(crate) use orders::OrderDatabase;
pub(crate) use processes::{Apis, Pipeline, Workers};
pub(crate) use programs::{Api, Programs};
