//! Names of transactions, by which metrics and errors tell them apart.

use std::time::Duration;

use metrics::{describe_histogram, histogram};

const DURATION: &str = "database_transaction_duration_seconds";

/// Describes the metric of [`record_transaction`].
pub fn describe_transactions() {
    describe_histogram!(DURATION, "From a transaction's first statement to its last answer");
}

/// Counts a transaction, failed ones included, that took `elapsed`. `name` is the name of its
/// statement, or of the one that it exists for: a file in `sql/`.
pub fn record_transaction(name: &'static str, elapsed: Duration) {
    histogram!(DURATION, "transaction" => name).record(elapsed);
}
