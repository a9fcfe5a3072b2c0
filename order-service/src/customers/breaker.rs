//! A circuit breaker: a service that fails again and again is left alone for a while, then asked by one request alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After how many failures in a row the circuit opens.
const FAILURE_THRESHOLD: u32 = 5;

/// How long the circuit stays open at first; twice as long after each probe that fails.
const INITIAL_PAUSE: Duration = Duration::from_secs(1);

/// How long the circuit stays open at the most.
const MAX_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests pass; so many in a row have failed.
    Closed { failures: u32 },
    /// No request passes until the pause is over.
    Open { until: Instant, pause: Duration },
    /// One request is on its way to see whether the service is back; all others are held off.
    HalfOpen { pause: Duration },
}

/// The state of the circuit. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct CircuitBreaker {
    state: Arc<Mutex<State>>,
}

/// Leave to make one call. Dropped without a verdict, it counts for nothing.
#[derive(Debug)]
pub(super) struct Permit {
    breaker: CircuitBreaker,
    /// The pause before this call, when it is a probe.
    probe: Option<Duration>,
    settled: bool,
}

impl CircuitBreaker {
    pub(super) fn new() -> Self {
        Self { state: Arc::new(Mutex::new(State::Closed { failures: 0 })) }
    }

    /// Leave to make a call at `now`, or nothing while the circuit is open.
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

    /// Whether [`try_acquire`](Self::try_acquire) would refuse a call at `now`.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        match *self.lock() {
            State::Closed { .. } => false,
            State::Open { until, .. } => now < until,
            State::HalfOpen { .. } => true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is a single assignment, so the state is whole even after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The service answered.
    pub(super) fn succeeded(mut self) {
        self.settled = true;
        let mut state = self.breaker.lock();
        if self.probe.is_some() {
            tracing::info!("the customer service answers again");
            *state = State::Closed { failures: 0 };
        } else if matches!(*state, State::Closed { .. }) {
            *state = State::Closed { failures: 0 };
        }
    }

    /// The service did not answer, at `now`.
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
                    "the customer service failed {FAILURE_THRESHOLD} times in a row: leaving it alone for a while"
                );
                INITIAL_PAUSE
            }
            // A call that had begun before the circuit opened.
            (None, State::Open { .. } | State::HalfOpen { .. }) => return,
        };
        *state = State::Open { until: now + pause, pause };
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // A probe whose request went away has shown nothing: the next request shall probe.
        if let (false, Some(pause)) = (self.settled, self.probe) {
            *self.breaker.lock() = State::Open { until: Instant::now(), pause };
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn looking_whether_it_is_open_takes_no_leave() {
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
    fn a_probe_that_was_given_up_makes_room_for_the_next() {
        let (breaker, now) = (CircuitBreaker::new(), Instant::now());
        fail(&breaker, FAILURE_THRESHOLD, now);
        let later = now + INITIAL_PAUSE;
        drop(breaker.try_acquire(later).expect("a probe"));
        assert!(breaker.try_acquire(later.max(Instant::now())).is_some());
    }

    #[test]
    fn calls_that_began_before_it_opened_do_not_count() {
        let (breaker, now) = (CircuitBreaker::new(), Instant::now());
        let late = breaker.try_acquire(now).expect("closed");
        let fortunate = breaker.try_acquire(now).expect("closed");
        fail(&breaker, FAILURE_THRESHOLD, now);
        late.failed(now + MAX_PAUSE);
        fortunate.succeeded();
        assert!(breaker.try_acquire(now).is_none());
        assert!(breaker.try_acquire(now + INITIAL_PAUSE).is_some());
    }
}
