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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHORTEST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_millis(100);

    #[test]
    fn looks_become_rarer_when_nothing_has_come_for_a_while_and_frequent_when_something_does() {
        let mut pace = Pace::new(SHORTEST, LONGEST);
        assert!(pace.is_time(), "the first look is due at once");
        for _ in 0..20 {
            pace.looked(false, false);
            assert_eq!(pace.wait, SHORTEST, "it is not quiet for long");
        }
        let Some(long_ago) = Instant::now().checked_sub(QUIET) else {
            return;
        };
        pace.found = long_ago;
        for wait in [10, 20, 40, 80, 100, 100] {
            pace.looked(false, false);
            assert_eq!(pace.wait, Duration::from_millis(wait));
        }
        pace.looked(true, false);
        assert_eq!(pace.wait, SHORTEST);
        pace.wait = LONGEST;
        pace.hurry();
        assert!(pace.is_time());
        assert_eq!(pace.wait, SHORTEST);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_shorter_or_longer_than_it_may_be_and_none_while_there_is_more(
            looks in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 1..50)
        ) {
            let mut pace = Pace::new(SHORTEST, LONGEST);
            for (found, more, quiet) in looks {
                if quiet && let Some(long_ago) = Instant::now().checked_sub(QUIET) {
                    pace.found = long_ago;
                }
                let before = Instant::now();
                pace.looked(found, more);
                let (least, most) = (before + SHORTEST, Instant::now() + LONGEST);
                if more {
                    prop_assert!(pace.is_time());
                } else {
                    prop_assert!((least..=most).contains(&pace.next()));
                }
            }
        }
    }
}
