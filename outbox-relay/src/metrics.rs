//! Metrics of the relay's work.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use service_kit::postgres::describe_transactions;

use crate::publish::event::Event;
use crate::publish::verdict::{FailureCause, Verdict};

const PUBLISHED: &str = "outbox_relay_published_total";
const FAILED: &str = "outbox_relay_failed_total";
const BY_EXCHANGE: &str = "outbox_relay_exchange_messages_total";
const RETRIES: &str = "outbox_relay_retries_total";
const STUCK: &str = "outbox_relay_stuck_total";
const UNKNOWN: &str = "outbox_relay_unknown_total";
const PRUNED: &str = "outbox_relay_pruned_total";
const UNPRUNABLE: &str = "outbox_relay_unprunable_events";
const LATENCY: &str = "outbox_relay_publish_latency_seconds";
const ROWS: &str = "outbox_relay_poll_rows_total";
const POLL: &str = "outbox_relay_poll_duration_seconds";
const SETTLE: &str = "outbox_relay_settle_duration_seconds";
const WINDOW: &str = "outbox_relay_window_events";
const LANES: &str = "outbox_relay_lanes";

/// Registers the metrics, so that they are there from the start.
pub(crate) fn describe() {
    for (name, what) in [
        (PUBLISHED, "Events that the broker confirmed"),
        (
            RETRIES,
            "Attempts at events that had failed before, whether they came to something or not",
        ),
        (STUCK, "Rows that can't be a message"),
        (PRUNED, "Published events that were deleted after their time"),
        (UNKNOWN, "Messages whose confirm never came; they are sent again"),
        (ROWS, "Pending rows that were read to find events that may be sent"),
    ] {
        describe_counter!(name, what);
        counter!(name).absolute(0);
    }
    describe_counter!(
        FAILED,
        "Attempts that failed: returned (no queue is bound), nacked (the broker can't take the message), refused (it closed the channel)"
    );
    for cause in FailureCause::LABELLED {
        failed(cause, 0);
    }
    describe_counter!(
        BY_EXCHANGE,
        "Messages that were sent to an exchange: published, failed, or unknown"
    );
    describe_transactions();
    describe_histogram!(LATENCY, "From an event's created_at to its confirm");
    describe_histogram!(POLL, "How long a look for pending events took");
    describe_histogram!(SETTLE, "How long it took to note a batch's outcome");
    describe_histogram!(WINDOW, "Events that were sent before their confirms were awaited");
    describe_gauge!(
        UNPRUNABLE,
        "Published events past their retention that the last pass could not delete: locked, or refused by the database"
    );
    gauge!(UNPRUNABLE).set(0);
    describe_gauge!(LANES, "Lanes that this relay owns, of 64");
}

/// Sets the number of lanes that this relay owns.
pub(crate) fn lanes(lanes: u32) {
    gauge!(LANES).set(lanes);
}

/// Registers the counters of an exchange, so that they are there from the start.
pub(crate) fn describe_exchange(exchange: &str) {
    for outcome in ["published", "failed", "unknown"] {
        sent_to(exchange, outcome, 0);
    }
}

/// Counts the `outcomes` of messages by their exchanges.
pub(crate) fn record_by_exchange<'a>(outcomes: impl Iterator<Item = (&'a str, &'a Verdict)>) {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (exchange, verdict) in outcomes {
        let outcome = match verdict {
            Verdict::Published => "published",
            Verdict::Failed(..) | Verdict::Unpublishable(_) => "failed",
            Verdict::Unknown => "unknown",
        };
        *counts.entry((exchange, outcome)).or_default() += 1;
    }
    for ((exchange, outcome), messages) in counts {
        sent_to(exchange, outcome, messages);
    }
}

fn sent_to(exchange: &str, outcome: &'static str, messages: u64) {
    counter!(BY_EXCHANGE, "exchange" => exchange.to_owned(), "outcome" => outcome)
        .increment(messages);
}

/// Counts attempts that failed for `cause`.
fn failed(cause: FailureCause, attempts: u64) {
    counter!(FAILED, "reason" => cause.label()).increment(attempts);
}

/// Counts the rows that a scan has read.
pub(crate) fn rows_read(rows: impl TryInto<u64>) {
    counter!(ROWS).increment(rows.try_into().unwrap_or_default());
}

/// Records how long the scans of a tick took.
pub(crate) fn polled(duration: Duration) {
    histogram!(POLL).record(duration);
}

/// Records the number of events of a window.
pub(crate) fn window(events: usize) {
    histogram!(WINDOW).record(u32::try_from(events).unwrap_or(u32::MAX));
}

/// Counts published events that were deleted.
pub(crate) fn pruned(events: i64) {
    counter!(PRUNED).increment(u64::try_from(events).unwrap_or(0));
}

/// Sets the number of expired events that a pass could not delete.
pub(crate) fn unprunable(events: i64) {
    gauge!(UNPRUNABLE).set(u32::try_from(events).unwrap_or(u32::MAX));
}

/// Records how long it took to settle a batch.
pub(crate) fn settled(duration: Duration) {
    histogram!(SETTLE).record(duration);
}

/// Counts the outcomes of `events`, by their verdicts.
pub(crate) fn record_outcomes(events: &[Event], verdicts: &[Verdict]) {
    let (mut published, mut retries, mut stuck, mut unknown) = (0, 0, 0, 0);
    let latency = histogram!(LATENCY);
    for (event, verdict) in events.iter().zip(verdicts) {
        if event.attempts > 0 && matches!(verdict, Verdict::Published | Verdict::Failed(..)) {
            retries += 1;
        }
        match verdict {
            Verdict::Published => {
                published += 1;
                if let Some(created_at) = &event.created_at {
                    latency.record(created_at.age());
                }
            }
            Verdict::Failed(cause, _) => failed(*cause, 1),
            Verdict::Unpublishable(_) => stuck += 1,
            Verdict::Unknown => unknown += 1,
        }
    }
    counter!(PUBLISHED).increment(published);
    counter!(RETRIES).increment(retries);
    counter!(STUCK).increment(stuck);
    counter!(UNKNOWN).increment(unknown);
}
