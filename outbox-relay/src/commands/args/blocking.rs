//! The relays' settings that decide which events are held back.

use clap::Args;

use crate::config::{Ordering, WhenStuck};
use crate::database::queries::BlockingPolicy;

/// The relays' settings that decide whether a failed event holds back the later ones of its
/// aggregate. The database does not know them.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Relay")]
pub(in crate::commands) struct BlockingArgs {
    /// The relays' setting. With strict, a failed event holds back the later ones of its aggregate;
    /// with none it does not
    #[arg(
        long,
        env = "RELAY_ORDERING",
        value_enum,
        default_value = "strict",
        hide_possible_values = true
    )]
    relay_ordering: Ordering,
    /// The relays' setting. With hold, a stuck event holds back the later ones of its aggregate;
    /// with skip it does not
    #[arg(
        long,
        env = "RELAY_WHEN_STUCK",
        value_enum,
        default_value = "hold",
        hide_possible_values = true
    )]
    relay_when_stuck: WhenStuck,
}

impl From<BlockingArgs> for BlockingPolicy {
    fn from(args: BlockingArgs) -> Self {
        Self {
            ordered: args.relay_ordering == Ordering::Strict,
            stuck_holds: args.relay_when_stuck == WhenStuck::Hold,
        }
    }
}
