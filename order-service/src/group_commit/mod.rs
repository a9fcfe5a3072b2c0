//! Joined writes: orders that wait at the same moment are written by one statement. There is no timer: while one commit is under
//! way, the next orders gather; an order that is alone goes at once.
//!
//! | module | what it does |
//! |---|---|
//! | `asked` | an order that waits, with all that is written with it |
//! | `queue` | where orders wait: bounded in number and in time |
//! | `reader` | the queue's other end: what is written next, bounded in rows and bytes |
//! | `batch` | writes a batch and tells each order what became of it |
//! | `write` | the loop |
//! | `metrics` | what is counted |

mod asked;
mod batch;
mod metrics;
mod queue;
mod reader;
mod write;

pub(crate) use asked::Asked;
pub(crate) use queue::{Queue, WriteError, Written, queue};
pub(crate) use write::write;
