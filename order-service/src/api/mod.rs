//! The HTTP API: `routes` are the operations, each handed on to a file of its own.

mod change_status;
mod error_responses;
mod get;
mod handlers;
mod list;
mod openapi;
mod request;
mod response;
mod routes;

pub(crate) use openapi::described;
pub use openapi::document;
pub(crate) use routes::Orders;
