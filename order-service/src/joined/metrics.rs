//! What is counted.

use metrics::{Gauge, counter, describe_counter, describe_gauge, gauge};

const WAITING: &str = "orders_waiting";
const BATCHES: &str = "order_batches_total";
const JOINED: &str = "orders_joined_total";
const ALONE: &str = "orders_written_alone_total";

/// What each metric means; every one is there from the start, so that a rate of zero can be seen.
pub(super) fn describe() {
    describe_gauge!(WAITING, "Orders that wait for their turn to be written");
    describe_counter!(BATCHES, "Commits of orders that had waited at the same moment");
    describe_counter!(
        JOINED,
        "Orders that these commits wrote; orders by batches is the mean size"
    );
    describe_counter!(
        ALONE,
        "Orders that had to be written by themselves: one of their batch was refused, or their key was taken"
    );
    gauge!(WAITING).set(0.0);
    for name in [BATCHES, JOINED, ALONE] {
        counter!(name).increment(0);
    }
}

/// How many orders wait. Keep it: finding it by its name takes longer than changing it.
pub(super) fn waiting() -> Gauge {
    gauge!(WAITING)
}

/// A batch of `orders` was committed.
pub(super) fn batch(orders: usize) {
    counter!(BATCHES).increment(1);
    counter!(JOINED).increment(orders as u64);
}

/// An order is written by itself.
pub(super) fn alone() {
    counter!(ALONE).increment(1);
}
