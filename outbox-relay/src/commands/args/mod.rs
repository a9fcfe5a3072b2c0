//! Arguments that several commands share.

mod actor;
mod audit_filter;
mod blocking;
mod connection;
mod expect;
mod filter;
mod page;
mod time_arg;

pub(super) use actor::{ActorArgs, single_line};
pub(super) use audit_filter::AuditFilterArgs;
pub(super) use blocking::BlockingArgs;
pub(super) use connection::ConnectionArgs;
pub(super) use expect::ExpectArgs;
pub(super) use filter::{CreatedArgs, FilterArgs, fingerprint};
pub(super) use page::PageArgs;
pub(super) use time_arg::TimeArg;
