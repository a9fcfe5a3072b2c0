#![doc = include_str!("../README.md")]
#![allow(
    clippy::disallowed_methods,
    reason = "it starts programs in the environment of whoever runs it"
)]

mod bench;
mod chaos;
mod cli;
mod demo;
mod down;
mod fuzz_http;
mod logins;
mod mutants;
mod nextest;
mod openapi;
mod passed_settings;
mod plan;
mod port_owner;
mod process_name;
mod ready;
mod restart;
mod roles;
mod run_tests;
mod servers;
mod service_ports;
mod services;
mod soak;
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
