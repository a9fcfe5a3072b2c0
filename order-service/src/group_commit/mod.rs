//! Group commit: orders that wait at the same moment are written by one statement. There is no
//! timer: orders gather while the previous batch is being committed, and a single order is written
//! at once.
//!
//! | module | what it does |
//! |---|---|
//! | `queue` | the queue of orders to write, bounded in number and in waiting time |
//! | `reader` | takes batches out of the queue, bounded in rows and bytes |
//! | `batch` | writes the batches and responds to each order |

mod batch;
mod queue;
mod reader;

use std::time::Duration;

pub(crate) use batch::write_batches;
pub(crate) use queue::{BatchOutcome, OrderQueue, WriteError};
pub(crate) use reader::BatchReader;

/// Creates a queue of at most `size` orders, each of which waits for at most `max_wait`; at most
/// `single_writes` orders are written on their own at a time.
pub(crate) fn queue(
    size: usize,
    max_wait: Duration,
    single_writes: usize,
) -> (OrderQueue, BatchReader) {
    let (queue, receiver) = OrderQueue::new(size, max_wait, single_writes);
    (queue, BatchReader::new(receiver))
}
