//! The command line; the doc comments are the help texts.

use std::path::PathBuf;

use clap::Parser;

/// Puts faults into the whole pipeline under load, and says whether its guarantees held.
///
/// Starts PostgreSQL, a RabbitMQ cluster of three nodes and three of each program for itself. Kills,
/// stops and restarts them, cuts and slows the network between them, and lets operators work
/// meanwhile. Exit status 0 when every guarantee held, 1 when one did not, 2 when the run itself
/// failed.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask chaos", bin_name = "cargo xtask chaos")]
pub(crate) struct Cli {
    /// How many faults
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) faults: usize,
    /// What the faults are drawn from; the same seed makes the same plan [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// The faults of an earlier run, from its plan.json
    #[arg(long, value_name = "FILE", conflicts_with_all = ["faults", "seed"])]
    pub(crate) replay: Option<PathBuf>,
    /// Look for the fewest faults of `--replay` after which a guarantee still does not hold
    #[arg(long, requires = "replay")]
    pub(crate) minimise: bool,
    /// The mean time between faults
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    pub(crate) gap: std::time::Duration,
    /// Where the plan and the history are written
    #[arg(long, value_name = "FOLDER", default_value = "target/chaos")]
    pub(crate) out: PathBuf,
}
