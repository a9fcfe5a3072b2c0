//! Which events a command is about.

use clap::Args;
use time::OffsetDateTime;

/// Arguments that name events by what they tell of.
#[derive(Debug, Clone, Args)]
pub(super) struct Selection {
    /// Only events of this aggregate, by its id
    #[arg(long, value_name = "ID")]
    pub(super) aggregate: Option<String>,
    /// Only events of this type, such as order.created
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) event_type: Option<String>,
}

/// What events must be like; what is none does not matter.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    pub(super) aggregate: Option<String>,
    pub(super) event_type: Option<String>,
    pub(super) since: Option<OffsetDateTime>,
    pub(super) until: Option<OffsetDateTime>,
}

impl From<Selection> for Filter {
    fn from(Selection { aggregate, event_type }: Selection) -> Self {
        Self { aggregate, event_type, ..Self::default() }
    }
}
