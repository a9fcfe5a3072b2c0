//! The three HTTP APIs under requests that Schemathesis generates from their OpenAPI documents: no
//! request may be answered 5xx, remain unanswered, or be answered otherwise than documented.
//!
//! | file | what it does |
//! |---|---|
//! | `cli` | the command line |
//! | `run` | rounds of requests until enough were sent, and the verdict |
//! | `apis` | the three APIs on real servers, with something to find in them |
//! | `schemathesis` | the installation of Schemathesis, and one round with it |
#![allow(
    clippy::disallowed_methods,
    reason = "it starts programs in the environment of whoever runs it"
)]

mod apis;
mod cli;
mod run;
mod schemathesis;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match Box::pin(run::run(&cli::Cli::parse())).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            writeln!(std::io::stderr(), "fuzz-http: {error:#}").ok();
            ExitCode::from(2)
        }
    }
}
