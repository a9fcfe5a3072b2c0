//! The collector's metrics, each with the queue as its label: several collectors may be one job.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const COLLECTED: &str = "dead_letters_collected_total";
const KNOWN: &str = "dead_letters_known_total";
const REFUSED: &str = "dead_letters_refused";
const QUEUED: &str = "dead_letters_queue_messages";
const OPEN: &str = "dead_letters_open";
const OLDEST: &str = "dead_letters_oldest_open_seconds";
const SETTLED: &str = "dead_letters_settled_total";
const PRUNED: &str = "dead_letters_pruned_total";
const STORE: &str = "dead_letters_store_duration_seconds";

/// The states of settled rows, each a label of its own.
const SETTLED_STATES: [&str; 2] = ["returned", "discarded"];

/// The metrics of one queue.
#[derive(Debug, Clone)]
pub(super) struct QueueMetrics {
    queue: String,
}

impl QueueMetrics {
    pub(super) fn of(queue: &str) -> Self {
        Self { queue: queue.to_owned() }
    }

    /// Registers the metrics. Measured gauges have no value until the first measurement, as 0 would
    /// be wrong.
    pub(super) fn describe(&self) {
        for (name, what) in [
            (COLLECTED, "Messages that became rows"),
            (KNOWN, "Messages that were delivered again and had a row"),
            (PRUNED, "Rows that were deleted after DEAD_LETTERS_RETENTION"),
        ] {
            describe_counter!(name, what);
            self.count(name, 0);
        }
        describe_counter!(SETTLED, "Rows that people returned or discarded");
        for state in SETTLED_STATES {
            self.settled(state, 0);
        }
        describe_gauge!(REFUSED, "Messages that the database refuses: they stay in the queue");
        self.set(REFUSED, 0.0);
        describe_gauge!(QUEUED, "Messages that wait in the dead-letter queue");
        describe_gauge!(
            OPEN,
            "Rows of this queue that are open or being returned, each counted up to 10,000"
        );
        describe_gauge!(OLDEST, "Seconds since the oldest of these rows was collected; 0: none");
        describe_histogram!(STORE, "How long it took to store a batch");
    }

    /// Counts messages that were stored.
    pub(super) fn collected(&self, new: u64, known: u64) {
        self.count(COLLECTED, new);
        self.count(KNOWN, known);
    }

    /// Records how long it took to store a batch.
    pub(super) fn stored_batch(&self, duration: Duration) {
        histogram!(STORE, "queue" => self.queue.clone()).record(duration);
    }

    /// Sets the number of messages that the database refuses.
    pub(super) fn refused(&self, messages: usize) {
        self.set(REFUSED, u32::try_from(messages).unwrap_or(u32::MAX).into());
    }

    /// Sets the depth of the queue.
    pub(super) fn queued(&self, messages: u32) {
        self.set(QUEUED, messages.into());
    }

    /// Sets the number of open rows and the age of the oldest.
    pub(super) fn open(&self, rows: i64, oldest_seconds: Option<f64>) {
        self.set(OPEN, u32::try_from(rows).unwrap_or(u32::MAX).into());
        self.set(OLDEST, oldest_seconds.unwrap_or(0.0));
    }

    /// Counts rows that people settled.
    pub(super) fn settled(&self, state: &'static str, rows: u64) {
        counter!(SETTLED, "queue" => self.queue.clone(), "state" => state).increment(rows);
    }

    /// Counts rows that were deleted.
    pub(super) fn pruned(&self, rows: u64) {
        self.count(PRUNED, rows);
    }

    fn count(&self, name: &'static str, more: u64) {
        counter!(name, "queue" => self.queue.clone()).increment(more);
    }

    fn set(&self, name: &'static str, value: f64) {
        gauge!(name, "queue" => self.queue.clone()).set(value);
    }
}
