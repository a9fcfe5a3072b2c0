//! How often to look for new events.

use std::time::{Duration, Instant};

/// After this long without a new event the looks become rarer.
const QUIET: Duration = Duration::from_secs(1);

/// Waits are short while events come, and double up to the longest when none have come for a while.
#[derive(Debug)]
pub(crate) struct Pace {
    shortest: Duration,
    longest: Duration,
    wait: Duration,
    found: Instant,
    next: Instant,
}

impl Pace {
    pub(crate) fn new(shortest: Duration, longest: Duration) -> Self {
        let now = Instant::now();
        Self { shortest, longest, wait: shortest, found: now, next: now }
    }

    pub(crate) fn is_time(&self) -> bool {
        Instant::now() >= self.next
    }

    pub(crate) const fn next(&self) -> Instant {
        self.next
    }

    /// Looks at once, and often for a while.
    pub(crate) fn hurry(&mut self) {
        *self = Self::new(self.shortest, self.longest);
    }

    /// A look `found` new events or not; it saw that there is `more`.
    pub(crate) fn looked(&mut self, found: bool, more: bool) {
        let now = Instant::now();
        if found {
            self.found = now;
            self.wait = self.shortest;
        } else if now.duration_since(self.found) >= QUIET {
            self.wait = (self.wait * 2).min(self.longest);
        }
        self.next = if more { now } else { now + self.wait };
    }
}
