//! Arguments that several commands share.

mod actor;
mod blocking;
mod connection;
mod expect;
mod filter;
mod time_arg;

pub(super) use actor::{ActorArgs, single_line};
pub(super) use blocking::BlockingArgs;
pub(super) use connection::ConnectionArgs;
pub(super) use expect::ExpectArgs;
pub(super) use filter::{CreatedArgs, FilterArgs, fingerprint};
pub(super) use time_arg::TimeArg;
