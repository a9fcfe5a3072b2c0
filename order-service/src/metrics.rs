//! What is counted of orders and of the customers who are looked up.

use metrics::{Counter, counter, describe_counter};

use crate::domain::Status;

const CREATED: &str = "orders_created_total";
const REPLAYED: &str = "orders_replayed_total";
const UNCHECKED: &str = "orders_accepted_unchecked_total";
const CHANGES: &str = "order_status_changes_total";
const LOOKUPS: &str = "customer_lookups_total";
const KEYS_PRUNED: &str = "idempotency_keys_pruned_total";

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
    ] {
        describe_counter!(name, what);
        counter!(name).increment(0);
    }
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
    lookups(result).increment(1);
}

/// How many customers were looked up with this result.
pub(crate) fn lookups(result: &'static str) -> Counter {
    counter!(LOOKUPS, "result" => result)
}

/// So many keys were forgotten.
pub(crate) fn keys_pruned(number: u64) {
    counter!(KEYS_PRUNED).increment(number);
}
