//! Arguments that several commands share.

mod actor;
mod blocking;
mod connection;
mod time_arg;

use clap::Args;

use super::queries::Filter;

pub(super) use actor::{ActorArgs, single_line};
pub(super) use blocking::BlockingArgs;
pub(super) use connection::ConnectionArgs;
pub(super) use time_arg::TimeArg;

/// Arguments that select events by aggregate and type.
#[derive(Debug, Clone, Args)]
pub(super) struct FilterArgs {
    /// Only events with this aggregate_id
    #[arg(long, value_name = "ID")]
    pub(super) aggregate: Option<String>,
    /// Only events of this type, such as order.created
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) event_type: Option<String>,
}

impl From<FilterArgs> for Filter {
    fn from(FilterArgs { aggregate, event_type }: FilterArgs) -> Self {
        Self { aggregate, event_type, ..Self::default() }
    }
}
