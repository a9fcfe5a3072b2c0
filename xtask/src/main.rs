//! `cargo xtask`: the local stack, the tests, the benchmark and the generated documents.
//!
//! `up` → [`plan`] (ports, addresses, settings) → [`servers`] → [`services`] → [`welcome`], then
//! [`tail_logs`] in the foreground. [`state`] records what runs, so that `restart`, `status` and
//! `down` work from any terminal.
mod bench;
mod cli;
mod down;
mod nextest;
mod openapi;
mod plan;
mod port_owner;
mod ready;
mod restart;
mod roles;
mod run_tests;
mod servers;
mod services;
mod state;
mod status;
mod tail_logs;
mod terminal;
mod up;
mod welcome;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::Cli::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            terminal::print_error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
