//! What `/metrics` shows of the relay's work.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::claim::Event;
use crate::verdict::Verdict;

const PUBLISHED: &str = "outbox_relay_published_total";
const FAILED: &str = "outbox_relay_failed_total";
const STUCK: &str = "outbox_relay_stuck_total";
const UNKNOWN: &str = "outbox_relay_unknown_total";
const LATENCY: &str = "outbox_relay_publish_latency_seconds";
const POLL: &str = "outbox_relay_poll_duration_seconds";
const SETTLE: &str = "outbox_relay_settle_duration_seconds";
const BATCH: &str = "outbox_relay_batch_events";
const ACTIVE: &str = "outbox_relay_publishing";

/// Names the metrics, so that they are there from the start.
pub(crate) fn describe() {
    for (name, what) in [
        (PUBLISHED, "Events that the broker confirmed"),
        (FAILED, "Attempts that the broker returned or refused"),
        (STUCK, "Rows that can't be a message"),
        (UNKNOWN, "Messages whose confirm never came; they are sent again"),
    ] {
        describe_counter!(name, what);
        counter!(name).absolute(0);
    }
    describe_histogram!(LATENCY, "From an event's created_at to its confirm");
    describe_histogram!(POLL, "How long a look for pending events took");
    describe_histogram!(SETTLE, "How long it took to note a batch's outcome");
    describe_gauge!(BATCH, "Events in the latest batch that held any");
    describe_gauge!(ACTIVE, "1: this relay publishes; 0: it stands by, or can't");
}

/// Whether this relay is the one that publishes.
pub(crate) fn publishing(publishes: bool) {
    gauge!(ACTIVE).set(if publishes { 1.0 } else { 0.0 });
}

/// A look for pending events took `duration` and found `events`.
pub(crate) fn polled(duration: Duration, events: &[Event]) {
    histogram!(POLL).record(duration);
    if !events.is_empty() {
        gauge!(BATCH).set(u32::try_from(events.len()).unwrap_or(u32::MAX));
    }
}

/// Noting a batch's outcome took `duration`.
pub(crate) fn settled(duration: Duration) {
    histogram!(SETTLE).record(duration);
}

/// What became of `events`.
pub(crate) fn decided(events: &[Event], verdicts: &[Option<Verdict>]) {
    let (mut published, mut failed, mut stuck, mut unknown) = (0, 0, 0, 0);
    let latency = histogram!(LATENCY);
    for (event, verdict) in events.iter().zip(verdicts) {
        match verdict {
            Some(Verdict::Published) => {
                published += 1;
                if let Some(created) = &event.created {
                    latency.record(created.age());
                }
            }
            Some(Verdict::Failed(_)) => failed += 1,
            Some(Verdict::Impossible(_)) => stuck += 1,
            Some(Verdict::Unknown) => unknown += 1,
            None => (),
        }
    }
    counter!(PUBLISHED).increment(published);
    counter!(FAILED).increment(failed);
    counter!(STUCK).increment(stuck);
    counter!(UNKNOWN).increment(unknown);
}
