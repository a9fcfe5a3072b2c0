//! The consumer's metrics.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use service_kit::postgres::describe_transactions;
use time::Duration;

const EVENTS: &str = "consumer_events_total";
const BATCHES: &str = "consumer_batches_total";
const REDELIVERIES: &str = "consumer_redeliveries_total";
const PRUNED: &str = "consumer_pruned_events_total";
const DEAD_LETTERS: &str = "consumer_dead_letter_messages";
const DEVIATIONS: &str = "consumer_topology_deviations";
const LAG: &str = "consumer_lag_seconds";

/// Describes the metrics and registers each outcome, so that a rate of zero is visible.
pub(super) fn describe() {
    describe_counter!(
        EVENTS,
        "Messages by what became of them: counted, duplicate, ignored, retried, dead_lettered"
    );
    describe_counter!(
        BATCHES,
        "Batches of messages that were finished; events by batches is the mean size"
    );
    describe_counter!(REDELIVERIES, "Messages that had been delivered before");
    describe_counter!(PRUNED, "Events that were pruned after PROCESSED_EVENTS_RETENTION");
    // Registered after the first measurement: a zero would be wrong.
    describe_gauge!(
        DEAD_LETTERS,
        "Messages that wait in the dead-letter queue; every consumer reports the same figure"
    );
    describe_gauge!(
        DEVIATIONS,
        "Exchanges, queues and bindings that differ from what the consumer declares, or that it may not declare"
    );
    topology_deviations(0);
    describe_transactions();
    describe_histogram!(LAG, "From the event's occurrence to its count");
    for outcome in ["counted", "duplicate", "ignored", "retried", "dead_lettered"] {
        events(outcome, 0);
    }
    counter!(BATCHES).increment(0);
    counter!(REDELIVERIES).increment(0);
    pruned(0);
}

/// Adds pruned events.
pub(super) fn pruned(number: u64) {
    counter!(PRUNED).increment(number);
}

/// Adds messages with an outcome.
pub(super) fn events(outcome: &'static str, number: usize) {
    counter!(EVENTS, "outcome" => outcome).increment(number as u64);
}

/// Adds a finished batch and its redelivered messages.
pub(super) fn batch(redelivered: usize) {
    counter!(BATCHES).increment(1);
    counter!(REDELIVERIES).increment(redelivered as u64);
}

/// Sets the depth of the dead-letter queue.
pub(super) fn dead_letters(messages: u32) {
    gauge!(DEAD_LETTERS).set(messages);
}

/// Sets the number of deviations of the topology.
pub(super) fn topology_deviations(number: usize) {
    gauge!(DEVIATIONS).set(u32::try_from(number).unwrap_or(u32::MAX));
}

/// Records the time from each event's occurrence to its count. Where clocks differ it may be
/// negative, and counts as 0.
pub(super) fn lags(lags: impl Iterator<Item = Duration>) {
    let histogram = histogram!(LAG);
    for lag in lags {
        histogram.record(lag.as_seconds_f64().max(0.0));
    }
}
