//! How often to scan for new events.

use std::time::{Duration, Instant};

/// After this long without a new event the scans become rarer.
const QUIET: Duration = Duration::from_secs(1);

/// The time between two scans for new events: short while events come, and doubling up to the
/// longest when none have come for a while.
#[derive(Debug)]
pub(crate) struct PollInterval {
    /// `RELAY_POLL_MIN`.
    shortest: Duration,
    /// `RELAY_POLL_MAX`.
    longest: Duration,
    current: Duration,
    /// When a scan last found a new event.
    found_at: Instant,
    next: Instant,
}

impl PollInterval {
    /// Its first scan is due at once.
    pub(crate) const fn new(shortest: Duration, longest: Duration, now: Instant) -> Self {
        Self { shortest, longest, current: shortest, found_at: now, next: now }
    }

    /// Whether the next scan is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// When the next scan is due.
    pub(crate) const fn next(&self) -> Instant {
        self.next
    }

    /// Makes the next scan due at once, and the following ones frequent for a while.
    pub(crate) const fn reset(&mut self, now: Instant) {
        *self = Self::new(self.shortest, self.longest, now);
    }

    /// Schedules the next scan after one that found new events.
    pub(crate) fn found_some(&mut self, now: Instant) {
        self.found_at = now;
        self.current = self.shortest;
        self.next = now + self.current;
    }

    /// Schedules the next scan after one that found no new event.
    pub(crate) fn found_none(&mut self, now: Instant) {
        if now.duration_since(self.found_at) >= QUIET {
            self.current = (self.current * 2).min(self.longest);
        }
        self.next = now + self.current;
    }

    /// Makes the next scan due at once, as the last one did not read everything. The following ones
    /// stay as frequent as they are.
    pub(crate) const fn skip_wait(&mut self, now: Instant) {
        self.next = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHORTEST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_millis(100);

    #[test]
    fn scans_become_rarer_when_nothing_has_come_for_a_while_and_frequent_when_something_does() {
        let mut now = Instant::now();
        let mut interval = PollInterval::new(SHORTEST, LONGEST, now);
        assert!(interval.is_due(now), "the first scan is due at once");
        while now - interval.found_at < QUIET {
            interval.found_none(now);
            assert_eq!(interval.current, SHORTEST, "it is not quiet for long");
            assert_eq!(interval.next(), now + SHORTEST);
            now = interval.next();
        }
        for millis in [10, 20, 40, 80, 100, 100] {
            interval.found_none(now);
            assert_eq!(interval.current, Duration::from_millis(millis));
            now = interval.next();
        }
        interval.found_some(now);
        assert_eq!(interval.current, SHORTEST);
        interval.current = LONGEST;
        interval.reset(now);
        assert!(interval.is_due(now));
        assert_eq!(interval.current, SHORTEST);
    }

    proptest! {
        #[test]
        fn a_wait_is_within_its_bounds_and_there_is_none_while_there_is_more(
            scans in prop::collection::vec((any::<bool>(), any::<bool>(), 0..3000_u64), 1..50)
        ) {
            let mut now = Instant::now();
            let mut interval = PollInterval::new(SHORTEST, LONGEST, now);
            for (found, has_more, later) in scans {
                now += Duration::from_millis(later);
                if found {
                    interval.found_some(now);
                } else {
                    interval.found_none(now);
                }
                prop_assert!((SHORTEST..=LONGEST).contains(&(interval.next() - now)));
                if has_more {
                    interval.skip_wait(now);
                    prop_assert_eq!(interval.next(), now);
                }
            }
        }
    }
}
