//! The metrics of orders and of customer lookups.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::domain::Status;

const CREATED: &str = "orders_created_total";
const REPLAYED: &str = "orders_replayed_total";
const UNCHECKED: &str = "orders_accepted_unchecked_total";
const CHANGES: &str = "order_status_changes_total";
const LOOKUPS: &str = "customer_lookups_total";
const KEYS_PRUNED: &str = "idempotency_keys_pruned_total";
const WAITING: &str = "orders_waiting";
const BATCHES: &str = "order_batches_total";
const BATCHED: &str = "orders_joined_total";
const WRITTEN_ALONE: &str = "orders_written_alone_total";
const READS: &str = "order_reads_total";
const READ_BATCHES: &str = "order_read_batches_total";

/// What each metric means; every one is there from the start, so that a rate of zero can be seen.
pub(crate) fn describe() {
    for (name, what) in [
        (CREATED, "Orders that were accepted"),
        (
            REPLAYED,
            "Requests that were answered with the order which their Idempotency-Key had made before",
        ),
        (UNCHECKED, "Orders that were accepted though their customer could not be checked"),
        (KEYS_PRUNED, "Idempotency-Keys that were forgotten after 24 hours"),
        (BATCHES, "Commits of orders that had waited at the same moment"),
        (BATCHED, "Orders that these commits wrote; orders by batches is the mean size"),
        (
            WRITTEN_ALONE,
            "Orders that had to be written by themselves: one of their batch was refused, or their key was taken",
        ),
        (READS, "Single orders that were asked for"),
        (
            READ_BATCHES,
            "Statements that read orders which were asked for at the same moment; reads by batches is the mean size",
        ),
    ] {
        describe_counter!(name, what);
        counter!(name).increment(0);
    }
    describe_gauge!(WAITING, "Orders that wait for their turn to be written");
    gauge!(WAITING).set(0.0);
    describe_counter!(CHANGES, "Orders that were moved on, by the status that they came to");
    for status in Status::ALL.into_iter().filter(|status| !status.before().is_empty()) {
        counter!(CHANGES, "status" => status.as_str()).increment(0);
    }
    describe_counter!(
        LOOKUPS,
        "Customers that were looked up: cached, cached_unknown, shared (another request's call was joined), known, unknown; \
         unavailable (no answer), left_alone (it has not answered lately), crowded (too many wait for it)"
    );
    for result in [
        "cached",
        "cached_unknown",
        "shared",
        "known",
        "unknown",
        "unavailable",
        "left_alone",
        "crowded",
    ] {
        counter!(LOOKUPS, "result" => result).increment(0);
    }
}

/// So many orders were accepted.
pub(crate) fn created(orders: usize) {
    counter!(CREATED).increment(orders as u64);
}

/// A request was answered with the order that its key had made before.
pub(crate) fn replayed() {
    counter!(REPLAYED).increment(1);
}

/// An order was accepted though its customer could not be checked.
pub(crate) fn unchecked() {
    counter!(UNCHECKED).increment(1);
}

/// An order came to this status.
pub(crate) fn changed(status: Status) {
    counter!(CHANGES, "status" => status.as_str()).increment(1);
}

/// A customer was looked up.
pub(crate) fn looked_up(result: &'static str) {
    counter!(LOOKUPS, "result" => result).increment(1);
}

/// So many keys were forgotten.
pub(crate) fn keys_pruned(number: u64) {
    counter!(KEYS_PRUNED).increment(number);
}

/// An order came to wait.
pub(crate) fn order_enqueued() {
    gauge!(WAITING).increment(1.0);
}

/// An order waits no more.
pub(crate) fn order_dequeued() {
    gauge!(WAITING).decrement(1.0);
}

/// A batch of `orders` was committed.
pub(crate) fn batch_committed(orders: usize) {
    counter!(BATCHES).increment(1);
    counter!(BATCHED).increment(orders as u64);
}

/// An order is written by itself.
pub(crate) fn order_written_alone() {
    counter!(WRITTEN_ALONE).increment(1);
}

/// An order was asked for.
pub(crate) fn order_read() {
    counter!(READS).increment(1);
}

/// A statement reads the orders that were asked for.
pub(crate) fn orders_read_together() {
    counter!(READ_BATCHES).increment(1);
}
