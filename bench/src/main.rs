//! How fast the pipeline is, as ratios to limits measured in the same run on servers started for it: absolute numbers
//! from a shared machine prove nothing. Prints one JSON line per result.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "results are what it prints")]

mod bare;
mod drain;

use anyhow::ensure;
use clap::{Parser, Subcommand};

/// Measures the pipeline against limits, on private servers with their durable defaults.
#[derive(Debug, Parser)]
#[command(version)]
struct Bench {
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Debug, Subcommand)]
enum Measure {
    /// The relay drains a backlog; the limit is a bare publisher of the same messages, window by window
    Drain(drain::Drain),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    ensure!(
        !cfg!(debug_assertions),
        "a debug build measures nothing: cargo run --release -p bench -- drain"
    );
    match Bench::parse().measure {
        Measure::Drain(drain) => drain.run().await,
    }
}
