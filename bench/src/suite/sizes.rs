//! The durations and repetitions of the measurements.

use std::time::Duration;

/// The sizes of a run.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    pub(super) name: &'static str,
    /// How many times each thing is measured, alternating with its limit.
    pub(super) rounds: usize,
    /// Seconds of pgbench for each number of clients.
    pub(super) try_clients: u32,
    /// Length of each measured stretch.
    pub(super) stretch: Duration,
    /// Length of the warm-up before it.
    pub(super) warm_up: Duration,
    /// Length of stretches with little load, for latency only.
    pub(super) short: Duration,
    /// Events of each drain of the relay.
    pub(super) drain: usize,
    /// Messages of each run of the consumer.
    pub(super) consume: usize,
    /// Dead letters of each run of the collector.
    pub(super) collect: usize,
    /// How long a rate must hold without a growing backlog.
    pub(super) sustained: Duration,
    /// Length of the search for that rate.
    pub(super) search: Duration,
    /// Numbers of rows of history, in order.
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
            // With fewer, the start of the process would dominate.
            consume: 60_000,
            collect: 30_000,
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
            collect: 100_000,
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
