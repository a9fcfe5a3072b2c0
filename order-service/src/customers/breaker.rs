//! A circuit breaker for calls to the customer service: after several failures in a row no calls
//! are made for a while, then a single probe decides whether they resume.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The number of failures in a row that opens the circuit.
const FAILURE_THRESHOLD: u32 = 5;

/// How long the circuit stays open at first. Each failed probe doubles it.
const INITIAL_PAUSE: Duration = Duration::from_secs(1);

/// The longest that the circuit stays open between probes.
const MAX_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Calls are allowed. `failures` is the number of the latest ones that failed in a row.
    Closed { failures: u32 },
    /// No calls are allowed until the pause is over.
    Open { until: Instant, pause: Duration },
    /// One probe is in flight; no other calls are allowed.
    HalfOpen { pause: Duration },
}

/// The circuit breaker. Clones share their state.
#[derive(Debug, Clone)]
pub(super) struct CircuitBreaker {
    state: Arc<Mutex<State>>,
}

/// Permission to make one call. Dropped without a verdict, it does not count.
#[derive(Debug)]
pub(super) struct Permit {
    breaker: CircuitBreaker,
    /// The pause before this call, if it is a probe.
    probe: Option<Duration>,
    settled: bool,
}

impl CircuitBreaker {
    pub(super) fn new() -> Self {
        Self { state: Arc::new(Mutex::new(State::Closed { failures: 0 })) }
    }

    /// Returns a permit for a call at `now`, or `None` while the circuit is open.
    pub(super) fn try_acquire(&self, now: Instant) -> Option<Permit> {
        let mut state = self.lock();
        let probe = match *state {
            State::Closed { .. } => None,
            State::Open { until, pause } if now >= until => {
                *state = State::HalfOpen { pause };
                Some(pause)
            }
            State::Open { .. } | State::HalfOpen { .. } => return None,
        };
        Some(Permit { breaker: self.clone(), probe, settled: false })
    }

    /// Returns whether [`try_acquire`](Self::try_acquire) would refuse a call at `now`.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        match *self.lock() {
            State::Closed { .. } => false,
            State::Open { until, .. } => now < until,
            State::HalfOpen { .. } => true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single assignment, so the state is consistent even after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Records that the service answered.
    pub(super) fn succeeded(mut self) {
        self.settled = true;
        let mut state = self.breaker.lock();
        if self.probe.is_some() {
            tracing::info!("the customer service answers again: circuit closed");
            *state = State::Closed { failures: 0 };
        } else if matches!(*state, State::Closed { .. }) {
            *state = State::Closed { failures: 0 };
        }
    }

    /// Records that the service failed to answer, at `now`.
    pub(super) fn failed(mut self, now: Instant) {
        self.settled = true;
        let mut state = self.breaker.lock();
        let pause = match (self.probe, *state) {
            (Some(pause), _) => (pause * 2).min(MAX_PAUSE),
            (None, State::Closed { failures }) if failures + 1 < FAILURE_THRESHOLD => {
                *state = State::Closed { failures: failures + 1 };
                return;
            }
            (None, State::Closed { .. }) => {
                tracing::warn!(
                    "the customer service failed {FAILURE_THRESHOLD} times in a row: circuit opened"
                );
                INITIAL_PAUSE
            }
            // The call began before the circuit opened.
            (None, State::Open { .. } | State::HalfOpen { .. }) => return,
        };
        *state = State::Open { until: now + pause, pause };
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // A probe that was abandoned has shown nothing: let the next request probe.
        if let (false, Some(pause)) = (self.settled, self.probe) {
            *self.breaker.lock() = State::Open { until: Instant::now(), pause };
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    fn fail(breaker: &CircuitBreaker, times: u32, now: Instant) {
        for _ in 0..times {
            breaker.try_acquire(now).expect("closed").failed(now);
        }
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_not_before() {
        let (breaker, now) = (CircuitBreaker::new(), Instant::now());
        fail(&breaker, FAILURE_THRESHOLD - 1, now);
        breaker.try_acquire(now).expect("closed").succeeded();
        fail(&breaker, FAILURE_THRESHOLD - 1, now);
        breaker.try_acquire(now).expect("still closed").failed(now);
        assert!(breaker.try_acquire(now).is_none());
        let nearly = now + INITIAL_PAUSE - Duration::from_nanos(1);
        assert!(breaker.try_acquire(nearly).is_none());
    }

    #[test]
    fn is_open_takes_no_permit() {
        let (breaker, now) = (CircuitBreaker::new(), Instant::now());
        assert!(!breaker.is_open(now));
        fail(&breaker, FAILURE_THRESHOLD, now);
        assert!(breaker.is_open(now));
        let later = now + INITIAL_PAUSE;
        assert!(!breaker.is_open(later));
        let probe = breaker.try_acquire(later).expect("a probe");
        assert!(breaker.is_open(later));
        probe.succeeded();
        assert!(!breaker.is_open(later));
    }

    #[test]
    fn one_probe_alone_decides_after_the_pause() {
        let (breaker, now) = (CircuitBreaker::new(), Instant::now());
        fail(&breaker, FAILURE_THRESHOLD, now);
        let later = now + INITIAL_PAUSE;
        let probe = breaker.try_acquire(later).expect("a probe");
        assert!(breaker.try_acquire(later).is_none());
        probe.succeeded();
        fail(&breaker, FAILURE_THRESHOLD - 1, later);
        assert!(breaker.try_acquire(later).is_some());
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_the_longest() {
        let (breaker, mut now) = (CircuitBreaker::new(), Instant::now());
        fail(&breaker, FAILURE_THRESHOLD, now);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let pause = Duration::from_secs(seconds);
            assert!(breaker.try_acquire(now + pause - Duration::from_nanos(1)).is_none());
            now += pause;
            breaker.try_acquire(now).expect("a probe").failed(now);
        }
    }

    #[test]
    fn an_abandoned_probe_makes_room_for_the_next() {
        let (breaker, now) = (CircuitBreaker::new(), Instant::now());
        fail(&breaker, FAILURE_THRESHOLD, now);
        let later = now + INITIAL_PAUSE;
        drop(breaker.try_acquire(later).expect("a probe"));
        assert!(breaker.try_acquire(later.max(Instant::now())).is_some());
    }

    #[test]
    fn calls_that_began_before_it_opened_do_not_count() {
        let (breaker, now) = (CircuitBreaker::new(), Instant::now());
        let failing = breaker.try_acquire(now).expect("closed");
        let succeeding = breaker.try_acquire(now).expect("closed");
        fail(&breaker, FAILURE_THRESHOLD, now);
        failing.failed(now + MAX_PAUSE);
        succeeding.succeeded();
        assert!(breaker.try_acquire(now).is_none());
        assert!(breaker.try_acquire(now + INITIAL_PAUSE).is_some());
    }

    /// Whatever becomes of the calls, in whatever order.
    #[test]
    fn one_probe_at_most_is_under_way_and_no_circuit_stays_open() {
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..500 {
            let (breaker, mut now) = (CircuitBreaker::new(), Instant::now());
            let mut calls: Vec<Permit> = Vec::new();
            for _ in 0..100 {
                let is_open = breaker.is_open(now);
                if random.random_bool(0.5) {
                    let call = breaker.try_acquire(now);
                    assert_eq!(call.is_none(), is_open);
                    calls.extend(call);
                } else if !calls.is_empty() {
                    let call = calls.swap_remove(random.random_range(0..calls.len()));
                    match random.random_range(0..6) {
                        0 => call.succeeded(),
                        1 => drop(call),
                        _ => call.failed(now),
                    }
                }
                let probes = calls.iter().filter(|call| call.probe.is_some()).count();
                assert_eq!(probes, usize::from(matches!(*breaker.lock(), State::HalfOpen { .. })));
                now = now.max(Instant::now()) + Duration::from_millis(random.random_range(0..1500));
            }
            calls.clear();
            assert!(!breaker.is_open(now.max(Instant::now()) + MAX_PAUSE));
        }
    }
}
