//! The HTTP listener, below any framework: it accepts connections and passes their requests to a
//! [`Handler`].
//!
//! A framework's own server limits neither the time to read headers nor the number of connections,
//! and spins when the process runs out of file descriptors
//! ([why](../../docs/adr/0029-own-accept-loop.md)).
//!
//! | file | what it does |
//! |---|---|
//! | `serve`, `slots` | bounded connections, eviction of idle ones, graceful shutdown |
//! | `connection`, `progress`, `stream` | one connection, its phases and their time limits |
//! | `handler`, `response_body` | what answers requests, and its responses while they are sent |
//! | `raw_response`, `linger` | error responses without a request; a close that loses no response |
//! | `request_id`, `metrics` | the id of each request; what became of connections |

mod connection;
mod handler;
mod linger;
mod metrics;
mod progress;
mod raw_response;
mod request_id;
mod response_body;
mod serve;
mod slots;
mod stream;

pub(crate) use handler::Handler;
#[cfg(feature = "api")]
pub(crate) use handler::PeerAddress;
#[cfg(feature = "api")]
pub(crate) use metrics::{AbandonGuard, CloseReason, NO_ROUTE, record_closed, register_route};
#[cfg(feature = "api")]
pub(crate) use progress::{MemoryPermit, Progress};
pub(crate) use request_id::{HEADER, RequestId};
pub(crate) use serve::{Limits, serve};
