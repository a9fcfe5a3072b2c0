//! Group commit: orders that wait at the same moment are written by one statement. There is no timer: while one commit is under
//! way, the next orders gather; an order that is alone goes at once.
//!
//! | module | what it does |
//! |---|---|
//! | `queue` | where orders wait: bounded in number and in time |
//! | `reader` | the queue's other end: the next batch, bounded in rows and bytes |
//! | `batch` | writes batch after batch and answers each order |

mod batch;
mod queue;
mod reader;

use std::time::Duration;

pub(crate) use batch::write_batches;
pub(crate) use queue::{BatchOutcome, OrderQueue, WriteError};
pub(crate) use reader::BatchReader;

/// Both ends of a queue of at most `size` orders, each of which waits for at most `max_wait`; `single_writes` is how many may be
/// written by themselves at a time.
pub(crate) fn queue(
    size: usize,
    max_wait: Duration,
    single_writes: usize,
) -> (OrderQueue, BatchReader) {
    let (queue, receiver) = OrderQueue::new(size, max_wait, single_writes);
    (queue, BatchReader::new(receiver))
}
