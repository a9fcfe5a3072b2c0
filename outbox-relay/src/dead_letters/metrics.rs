//! The collector's metrics.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const COLLECTED: &str = "dead_letters_collected_total";
const KNOWN: &str = "dead_letters_known_total";
const REFUSED: &str = "dead_letters_refused";
const QUEUED: &str = "dead_letters_queue_messages";
const OPEN: &str = "dead_letters_open";
const OLDEST: &str = "dead_letters_oldest_open_seconds";
const PRUNED: &str = "dead_letters_pruned_total";
const STORE: &str = "dead_letters_store_duration_seconds";

/// Registers the metrics. Measured gauges have no value until the first measurement, as 0 would be
/// wrong.
pub(super) fn describe() {
    for (name, what) in [
        (COLLECTED, "Messages that became rows"),
        (KNOWN, "Messages that were delivered again and had a row"),
        (PRUNED, "Rows that were deleted after DEAD_LETTERS_RETENTION"),
    ] {
        describe_counter!(name, what);
        counter!(name).increment(0);
    }
    describe_gauge!(REFUSED, "Messages that the database refuses: they stay in the queue");
    gauge!(REFUSED).set(0);
    describe_gauge!(QUEUED, "Messages that wait in the dead-letter queue");
    describe_gauge!(
        OPEN,
        "Rows of this queue that are open or being returned, each counted up to 10,000"
    );
    describe_gauge!(OLDEST, "Seconds since the oldest of these rows was collected; 0: none");
    describe_histogram!(STORE, "How long it took to store a batch");
}

/// Counts messages that were stored.
pub(super) fn collected(new: u64, known: u64) {
    counter!(COLLECTED).increment(new);
    counter!(KNOWN).increment(known);
}

/// Records how long it took to store a batch.
pub(super) fn stored_batch(duration: Duration) {
    histogram!(STORE).record(duration);
}

/// Sets the number of messages that the database refuses.
pub(super) fn refused(messages: usize) {
    gauge!(REFUSED).set(u32::try_from(messages).unwrap_or(u32::MAX));
}

/// Sets the depth of the queue.
pub(super) fn queued(messages: u32) {
    gauge!(QUEUED).set(messages);
}

/// Sets the number of open rows and the age of the oldest.
pub(super) fn open(rows: i64, oldest_seconds: Option<f64>) {
    gauge!(OPEN).set(u32::try_from(rows).unwrap_or(u32::MAX));
    gauge!(OLDEST).set(oldest_seconds.unwrap_or(0.0));
}

/// Counts rows that were deleted.
pub(super) fn pruned(rows: u64) {
    counter!(PRUNED).increment(rows);
}
