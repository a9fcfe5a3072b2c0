//! How far an event has been sent, as a relay tells commands that ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How far a pending event has been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It waits for the broker's confirm, or for its outcome to be noted.
    InFlight,
    NotSent,
    /// It was sent, and the broker's answer was lost with the connection: it may have arrived, and
    /// is sent again.
    InDoubt,
}

impl Stage {
    /// The number of the lock by which a relay answers. It is an interface between releases.
    pub(crate) const fn lock_number(self) -> i32 {
        match self {
            Self::InFlight => 72,
            Self::NotSent => 73,
            Self::InDoubt => 74,
        }
    }

    /// The stage with this number.
    pub(crate) fn from_lock_number(number: i32) -> Option<Self> {
        [Self::InFlight, Self::NotSent, Self::InDoubt]
            .into_iter()
            .find(|stage| stage.lock_number() == number)
    }

    /// Whether the relay waits for the broker's confirm; `None` if the event is in doubt.
    pub(crate) const fn in_flight(self) -> Option<bool> {
        match self {
            Self::InFlight => Some(true),
            Self::NotSent => Some(false),
            Self::InDoubt => None,
        }
    }
}

/// How many events of a run have been sent. The task that sends them counts, and the loop reads.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunProgress(Arc<AtomicUsize>);

impl RunProgress {
    /// The next event is about to be sent.
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
