//! What may happen.

use proptest::sample::Index;

/// What may happen.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Add {
        key: i64,
        rows: usize,
    },
    /// Events are written for later.
    Schedule {
        key: i64,
        rows: usize,
    },
    /// A transaction draws an id and is not committed yet.
    Begin {
        key: i64,
    },
    Commit(Index),
    ScanNew {
        rows: usize,
    },
    ScanDueRetries {
        rows: usize,
    },
    ScanSuccessors {
        aggregates: usize,
    },
    Take {
        count: usize,
        bytes: i64,
    },
    /// Takes one event, and those behind it, to be sent in a run.
    TakeRun {
        behind: usize,
    },
    /// So many events of the run were sent, and this became of the last one.
    EndRun {
        sent: Index,
        last: Fate,
    },
    Publish {
        first: Index,
        count: usize,
    },
    Fail(Index),
    /// It failed, and is stuck.
    GiveUp(Index),
    LoseConfirm(Index),
    Settle {
        count: usize,
    },
    /// The row of an event can't be changed for now.
    SettleBlocked(Index),
    /// The rows of some such events can be changed, or are gone.
    Unblock {
        count: usize,
    },
    /// What failed or was written for later is due.
    BecomeDue,
    /// A person makes a failed event due.
    Retry(Index),
    /// A person deletes a pending event.
    Discard(Index),
    /// A person makes a published event pending again.
    Unpublish(Index),
    /// Published events are deleted, as far as one of them.
    Prune(Index),
    /// The whole table is swept for what was overlooked.
    Sweep,
    /// Other relays come and go.
    Rebalance {
        lanes: u64,
    },
    /// The session ends, and a new one owns these lanes.
    LoseSession {
        lanes: u64,
    },
    /// Another relay publishes the first events of an aggregate of its own.
    OtherRelay {
        key: i64,
        rows: usize,
    },
}

/// What becomes of an event that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Published,
    Failed,
    Stuck,
    Unknown,
}
