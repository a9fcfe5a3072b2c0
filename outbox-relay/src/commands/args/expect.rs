//! How many rows a person expects to change.

use clap::Args;

/// Arguments that keep a change to the rows that a person has counted.
#[derive(Debug, Clone, Copy, Args)]
pub(in crate::commands) struct ExpectArgs {
    /// Only count what matches, and show ten of them
    #[arg(long)]
    pub(in crate::commands) dry_run: bool,
    /// Change them without asking, if they are this many; otherwise change none
    #[arg(long, value_name = "N", conflicts_with = "dry_run")]
    pub(in crate::commands) expect: Option<u64>,
    /// Only those up to this id, so that none is among them that was added since they were counted
    #[arg(long, value_name = "ID")]
    pub(in crate::commands) up_to_id: Option<i64>,
}
