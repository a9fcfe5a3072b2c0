//! The metrics of orders and of customer lookups.

use std::sync::LazyLock;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

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

/// Describes the metrics and creates each of them, so that a rate of zero is visible from the
/// start.
pub(crate) fn describe() {
    for (name, what) in [
        (CREATED, "Orders that were accepted"),
        (
            REPLAYED,
            "Requests that were answered with the order that their Idempotency-Key had created before",
        ),
        (UNCHECKED, "Orders that were accepted although their customer could not be checked"),
        (KEYS_PRUNED, "Idempotency-Keys that were deleted after 24 hours"),
        (BATCHES, "Batches of orders that were committed"),
        (
            BATCHED,
            "Orders in committed batches; divided by order_batches_total, the mean size of a batch",
        ),
        (
            WRITTEN_ALONE,
            "Orders that had to be written on their own: their batch was rejected, or their key was taken",
        ),
        (READS, "Requests for single orders"),
        (
            READ_BATCHES,
            "Statements that read these orders; order_reads_total divided by it is the mean size of a batch",
        ),
    ] {
        describe_counter!(name, what);
        counter!(name).increment(0);
    }
    describe_gauge!(WAITING, "Orders that wait to be written");
    gauge!(WAITING).set(0.0);
    describe_counter!(CHANGES, "Status changes of orders, by new status");
    for status in Status::ALL.into_iter().filter(|status| !status.before().is_empty()) {
        counter!(CHANGES, "status" => status.as_str()).increment(0);
    }
    describe_counter!(
        LOOKUPS,
        "Customer lookups by result: cached, cached_unknown, shared (joined another request's call), known, unknown; \
         unavailable (no answer), left_alone (circuit open), crowded (too many requests wait)"
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

/// Counts accepted orders.
pub(crate) fn created(orders: usize) {
    counter!(CREATED).increment(orders as u64);
}

/// Counts a request that was answered with the order that its key had created before.
pub(crate) fn replayed() {
    counter!(REPLAYED).increment(1);
}

/// Counts an order that was accepted although its customer could not be checked.
pub(crate) fn unchecked() {
    counter!(UNCHECKED).increment(1);
}

/// Counts a change to this status.
pub(crate) fn changed(status: Status) {
    counter!(CHANGES, "status" => status.as_str()).increment(1);
}

/// Counts a customer lookup.
pub(crate) fn looked_up(result: &'static str) {
    counter!(LOOKUPS, "result" => result).increment(1);
}

/// Counts a customer found in the cache. The handle is kept, since most orders come here and
/// finding it by its labels takes longer than counting.
pub(crate) fn found_in_cache() {
    static CACHED: LazyLock<Counter> = LazyLock::new(|| counter!(LOOKUPS, "result" => "cached"));
    CACHED.increment(1);
}

/// Counts deleted keys.
pub(crate) fn keys_pruned(number: u64) {
    counter!(KEYS_PRUNED).increment(number);
}

/// The number of queued orders. The handle is kept: finding it by its name takes longer than
/// changing it.
static QUEUED: LazyLock<Gauge> = LazyLock::new(|| gauge!(WAITING));

/// Counts an order into the queue.
pub(crate) fn order_enqueued() {
    QUEUED.increment(1.0);
}

/// Counts an order out of the queue.
pub(crate) fn order_dequeued() {
    QUEUED.decrement(1.0);
}

/// Counts a committed batch of `orders`.
pub(crate) fn batch_committed(orders: usize) {
    counter!(BATCHES).increment(1);
    counter!(BATCHED).increment(orders as u64);
}

/// Counts an order that is written on its own.
pub(crate) fn order_written_alone() {
    counter!(WRITTEN_ALONE).increment(1);
}

/// Counts a request for an order.
pub(crate) fn order_read() {
    counter!(READS).increment(1);
}

/// Counts a statement that reads requested orders.
pub(crate) fn read_batch() {
    counter!(READ_BATCHES).increment(1);
}
