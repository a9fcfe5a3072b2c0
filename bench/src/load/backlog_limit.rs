//! Limits the orders that are accepted and not yet counted: a service that accepts faster than the
//! rest can follow would only build up a backlog.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of orders that may be accepted and not yet counted, and the counters.
#[derive(Debug)]
pub(crate) struct BacklogLimit {
    width: u64,
    accepted: AtomicU64,
    counted: AtomicU64,
}

impl BacklogLimit {
    pub(crate) const fn new(width: u64) -> Self {
        Self { width, accepted: AtomicU64::new(0), counted: AtomicU64::new(0) }
    }

    /// Sets the number of counted orders.
    pub(crate) fn counted(&self, total: u64) {
        self.counted.store(total, Ordering::Relaxed);
    }

    /// The number of accepted orders.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// True while the load client may send another order: fewer than `width` accepted orders are
    /// not counted yet.
    pub(super) fn has_room(&self) -> bool {
        self.accepted().saturating_sub(self.counted.load(Ordering::Relaxed)) < self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_opens_when_orders_are_counted() {
        let backlog_limit = BacklogLimit::new(2);
        backlog_limit.accept();
        backlog_limit.accept();
        assert!(!backlog_limit.has_room());
        backlog_limit.counted(1);
        assert!(backlog_limit.has_room());
        assert_eq!(backlog_limit.accepted(), 2);
    }
}
