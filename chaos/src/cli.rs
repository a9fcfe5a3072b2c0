//! The command line; the doc comments are the help texts.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use humantime::parse_duration;

/// Puts faults into the whole pipeline under load, and says whether its guarantees held.
///
/// Starts PostgreSQL, a RabbitMQ cluster of three nodes and three of each program for itself. Kills,
/// stops and restarts them, cuts and slows the network between them, and lets operators work
/// meanwhile. A run has rounds of at most 50 faults, each with servers and data of its own, and ends
/// at the first one in which a guarantee did not hold. Exit status 0 when every guarantee held, 1
/// when one did not, 2 when the run itself failed.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask chaos", bin_name = "cargo xtask chaos")]
pub(crate) struct Cli {
    /// How many faults [default: 100; with --resume: as before]
    #[arg(long, value_name = "N")]
    pub(crate) faults: Option<usize>,
    /// The seed of the faults; the same seed makes the same plans [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Go on with the run in `--out`, after its last round that has a verdict
    #[arg(long, conflicts_with_all = ["seed", "gap", "replay"])]
    pub(crate) resume: bool,
    /// The faults of an earlier round, from its plan.json
    #[arg(long, value_name = "FILE", conflicts_with_all = ["faults", "seed"])]
    pub(crate) replay: Option<PathBuf>,
    /// Look for the fewest faults of `--replay` after which a guarantee still does not hold
    #[arg(long, requires = "replay")]
    pub(crate) minimise: bool,
    /// The mean time between faults
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = parse_duration)]
    pub(crate) gap: Duration,
    /// Where the plans, the histories and the report are written
    #[arg(long, value_name = "FOLDER", default_value = "target/chaos")]
    pub(crate) out: PathBuf,
}
