//! The phases of a request that creates an order, as a metric: where the time of slow ones goes.

use std::sync::LazyLock;
use std::time::Duration;

use metrics::{Histogram, describe_histogram, histogram};

const PHASES: &str = "order_phase_duration_seconds";

/// A phase of a request that creates an order, in their order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Phase {
    /// From the end of the headers until the body has arrived and is parsed.
    Parse,
    /// Until the idempotency key and the customer are looked up.
    Check,
    /// In the queue, until the batches ahead of it are written.
    Queue,
    /// Until the order's batch is committed or refused, the wait for a connection included.
    Statement,
    /// Until the task of the request goes on to answer: the wait for a processor.
    Answer,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Parse, Self::Check, Self::Queue, Self::Statement, Self::Answer];

    const fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Check => "check",
            Self::Queue => "queue",
            Self::Statement => "statement",
            Self::Answer => "answer",
        }
    }

    /// Records how long this phase of a request took.
    pub(crate) fn record(self, took: Duration) {
        // Kept: finding a histogram by its labels takes longer than recording.
        static HISTOGRAMS: LazyLock<[Histogram; 5]> =
            LazyLock::new(|| Phase::ALL.map(|phase| histogram!(PHASES, "phase" => phase.name())));
        HISTOGRAMS[self as usize].record(took);
    }
}

/// Describes the metric.
pub(crate) fn describe() {
    describe_histogram!(
        PHASES,
        "How long each phase of a request to create an order took: parse, check, queue, statement, answer"
    );
}
