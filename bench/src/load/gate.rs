//! Holds orders back while too many are on their way: a service that accepts faster than the rest can follow would only
//! make them pile up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often one that is held back looks again.
const LOOK: Duration = Duration::from_millis(1);

/// So many orders may be accepted and not yet counted.
#[derive(Debug)]
pub(crate) struct Gate {
    width: u64,
    accepted: AtomicU64,
    counted: AtomicU64,
}

impl Gate {
    pub(crate) const fn new(width: u64) -> Self {
        Self { width, accepted: AtomicU64::new(0), counted: AtomicU64::new(0) }
    }

    /// So many of those that went through were counted at the other end.
    pub(crate) fn counted(&self, total: u64) {
        self.counted.store(total, Ordering::Relaxed);
    }

    /// How many went through.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until there is room, no longer than until `end`.
    pub(super) fn pass(&self, end: Instant) {
        while self.accepted().saturating_sub(self.counted.load(Ordering::Relaxed)) >= self.width
            && Instant::now() < end
        {
            std::thread::sleep(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_opens_when_orders_are_counted() {
        let gate = Gate::new(2);
        gate.accept();
        gate.accept();
        let soon = Instant::now() + Duration::from_millis(20);
        gate.pass(soon);
        assert!(Instant::now() >= soon);
        gate.counted(1);
        gate.pass(Instant::now() + Duration::from_secs(3600));
        assert_eq!(gate.accepted(), 2);
    }
}
