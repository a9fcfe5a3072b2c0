#![doc = include_str!("../README.md")]

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
