//! The whole pipeline on real servers, under load, while faults happen to it; then a checker that
//! knows the history alone says whether anything was lost, doubled, out of order or untrue.
//!
//! | file | what it does |
//! |---|---|
//! | `cli` | the command line |
//! | `run`, `round`, `report` | a run and its rounds, each from its start to its verdict, and their figures |
//! | `topology`, `wiring`, `postgres`, `cluster`, `program`, `links` | servers, processes, and the connections between them |
//! | `mounts` | disks that can be filled |
//! | `load` | clients: orders, status changes, plain SQL, other programs' messages, operators |
//! | `plan`, `nemesis`, `inject` | which faults, when, and how each is put in and taken back |
//! | `thread` | what runs on a thread of its own |
//! | `tap` | a queue that gets every message of the exchange |
//! | `minimise` | the fewest faults after which a guarantee does not hold |
//! | `calm`, `backlog` | times without faults, in which the backlog must go |
//! | `history`, `tables` | what the checker reads |
//! | `samples`, `plot` | the faults, the backlog and its age as a picture |
#![allow(
    clippy::disallowed_methods,
    reason = "it starts programs in the environment of whoever runs it"
)]

mod backlog;
mod calm;
mod cli;
mod cluster;
mod history;
mod inject;
mod links;
mod load;
mod minimise;
mod mounts;
mod nemesis;
mod plan;
mod plot;
mod postgres;
mod program;
mod report;
mod round;
mod run;
mod samples;
mod tables;
mod tap;
mod thread;
mod topology;
mod wiring;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    match start() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            writeln!(std::io::stderr(), "chaos: {error:#}").ok();
            ExitCode::from(2)
        }
    }
}

fn start() -> anyhow::Result<bool> {
    let cli = cli::Cli::parse();
    mounts::enter()?;
    // All bytes pass through this process, which gets the more of busy processors the more threads
    // it has.
    let runtime = Builder::new_multi_thread().worker_threads(8).enable_all().build()?;
    runtime.block_on(Box::pin(run::run(cli)))
}
