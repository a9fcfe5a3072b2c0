//! Exponential backoff with jitter.

use std::time::Duration;

/// Exponential waiting times with jitter, so that the clients of a server that comes back do not
/// all reconnect at once. Each wait is drawn from the upper half of a bound that doubles from
/// `first` to `max`.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    /// Creates a backoff that starts at `first` and never waits longer than `max`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, attempts: 0 }
    }

    /// Returns the backoff for reconnecting to a server: 100 ms to 5 s.
    #[must_use]
    pub const fn reconnect() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5))
    }

    /// Returns the next wait, about twice as long as the one before.
    pub fn next_delay(&mut self) -> Duration {
        let delay = delay_after(self.attempts, self.first, self.max);
        self.attempts = self.attempts.saturating_add(1);
        delay
    }

    /// Resets the backoff after a success.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// Returns the wait after `failures` earlier failures: between half of `first * 2^failures` and all
/// of it, at most `max`.
#[must_use]
pub fn delay_after(failures: u32, first: Duration, max: Duration) -> Duration {
    let bound = first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(max);
    bound.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_in_the_upper_half_of_a_bound_that_doubles_up_to_the_longest(
            failures in prop_oneof![0..70_u32, any::<u32>()],
            first in 1..10_000_u64,
            max in 1..1_000_000_u64,
        ) {
            let (first, max) = (Duration::from_millis(first), Duration::from_millis(max));
            let doubled = first.as_secs_f64() * 2_f64.powf(f64::from(failures.min(1000)));
            let bound = doubled.min(max.as_secs_f64());
            let wait = delay_after(failures, first, max).as_secs_f64();
            // Room for floating-point rounding.
            prop_assert!(wait <= bound * 1.000_001, "{wait} s is over {bound} s");
            prop_assert!(wait >= bound * 0.499_999, "{wait} s is under half of {bound} s");
        }

        #[test]
        fn no_wait_overflows(failures: u32, first: Duration, max: Duration) {
            // A year is more than any setting allows.
            let year = Duration::from_hours(24 * 365);
            let (first, max) = (first.min(year), max.min(year));
            prop_assert!(delay_after(failures, first, max) <= max);
        }
    }

    #[test]
    fn waits_differ_so_that_clients_do_not_reconnect_at_once() {
        let wait = || delay_after(3, Duration::from_secs(1), Duration::from_secs(60));
        let first = wait();
        assert!((0..100).any(|_| wait() != first));
    }

    #[test]
    fn waits_double_up_to_the_longest_and_start_again_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for bound in [100, 200, 400, 800, 1000, 1000] {
            let delay = backoff.next_delay();
            assert!(delay <= Duration::from_millis(bound), "{delay:?} is over {bound} ms");
            assert!(
                delay >= Duration::from_millis(bound / 2),
                "{delay:?} is under half of {bound} ms"
            );
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }

    #[test]
    fn any_number_of_failures_stays_within_the_longest() {
        for failures in [31, 32, 33, 1000, u32::MAX] {
            assert!(
                delay_after(failures, Duration::from_secs(1), Duration::from_secs(60))
                    <= Duration::from_secs(60)
            );
        }
    }
}
