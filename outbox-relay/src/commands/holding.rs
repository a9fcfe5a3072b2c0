//! What holds events back, by the settings of the relays.

use clap::Args;

use crate::config::{Ordering, WhenStuck};
use crate::database::queries::BlockingPolicy;

/// Settings of the relays that decide whether an event that failed holds back those behind it. The table does not know them.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Relay")]
pub(super) struct HoldingArgs {
    /// As the relays have it: strict, and an event that failed holds back those behind it; or none
    #[arg(
        long,
        env = "RELAY_ORDERING",
        value_enum,
        default_value = "strict",
        hide_possible_values = true
    )]
    relay_ordering: Ordering,
    /// As the relays have it: hold, and a stuck event holds back those behind it; or skip
    #[arg(
        long,
        env = "RELAY_WHEN_STUCK",
        value_enum,
        default_value = "hold",
        hide_possible_values = true
    )]
    relay_when_stuck: WhenStuck,
}

impl From<HoldingArgs> for BlockingPolicy {
    fn from(args: HoldingArgs) -> Self {
        Self {
            ordered: args.relay_ordering == Ordering::Strict,
            stuck_holds: args.relay_when_stuck == WhenStuck::Hold,
        }
    }
}
