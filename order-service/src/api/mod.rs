//! The HTTP API: `calls` are the operations, each handed on to a file of its own.

mod calls;
mod change_status;
mod create;
mod document;
mod get;
mod list;
mod order;
mod refusals;
mod request;

pub(crate) use calls::Orders;
pub(crate) use document::described;
pub use document::document;
