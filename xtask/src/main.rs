//! `cargo xtask`: the local stack, the tests, the benchmark and the generated documents.
//!
//! `up` → [`plan`] (ports, addresses, settings) → [`servers`] → [`services`] → [`announce`], then
//! [`follow`] in the foreground. What runs is written down in [`state`], so that `restart`,
//! `status` and `down` work from any terminal.
mod announce;
mod bench;
mod cli;
mod documents;
mod down;
mod follow;
mod nextest;
mod plan;
mod port_owner;
mod ready;
mod restart;
mod roles;
mod servers;
mod services;
mod state;
mod status;
mod style;
mod suite;
mod up;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::Cli::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            style::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
