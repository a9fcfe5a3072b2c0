//! How long and how often things are measured.

use std::time::Duration;

/// The sizes of a run.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    pub(super) name: &'static str,
    /// How many times each thing is measured, in turn with what it is compared with.
    pub(super) rounds: usize,
    /// Seconds of each try of a number of pgbench's clients.
    pub(super) try_clients: u32,
    /// Of each measured stretch.
    pub(super) stretch: Duration,
    /// Before it, and not measured.
    pub(super) warm_up: Duration,
    /// Of stretches with little to do, whose latency alone counts.
    pub(super) short: Duration,
    /// Events of each drain of the relay.
    pub(super) drain: usize,
    /// Messages of each run of the consumer.
    pub(super) consume: usize,
    /// How long orders must flow without piling up.
    pub(super) sustained: Duration,
    /// Before that, to find the rate.
    pub(super) search: Duration,
    /// Rows of history, one size after the other.
    pub(super) history: Vec<i64>,
}

impl Sizes {
    /// Under four minutes.
    pub(super) fn quick() -> Self {
        Self {
            name: "quick",
            rounds: 3,
            try_clients: 1,
            stretch: Duration::from_secs(2),
            warm_up: Duration::from_millis(500),
            short: Duration::from_millis(1500),
            drain: 20_000,
            // Of fewer the start of the process is a good part.
            consume: 60_000,
            sustained: Duration::from_secs(10),
            search: Duration::from_secs(6),
            history: vec![100_000],
        }
    }

    pub(super) fn usual() -> Self {
        Self {
            name: "default",
            rounds: 3,
            try_clients: 3,
            stretch: Duration::from_secs(10),
            warm_up: Duration::from_secs(2),
            short: Duration::from_secs(5),
            drain: 200_000,
            consume: 200_000,
            sustained: Duration::from_secs(180),
            search: Duration::from_secs(30),
            history: vec![1_000, 1_000_000],
        }
    }

    pub(super) fn full() -> Self {
        Self {
            name: "full",
            rounds: 5,
            history: vec![1_000, 1_000_000, 10_000_000],
            ..Self::usual()
        }
    }
}
