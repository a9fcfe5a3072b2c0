//! Which of several hosts of one kind is tried first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The order in which hosts, numbered from 0, are tried. Clones share it.
#[derive(Debug, Clone)]
pub struct HostOrder {
    first: Arc<AtomicUsize>,
    last_connected: Arc<AtomicUsize>,
}

impl Default for HostOrder {
    fn default() -> Self {
        Self { first: Arc::default(), last_connected: Arc::new(AtomicUsize::new(usize::MAX)) }
    }
}

impl HostOrder {
    /// Returns each of `count` hosts once, in the order in which to try them.
    pub fn candidates(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.first.load(Ordering::Relaxed);
        (first..first + count).map(move |host| host % count)
    }

    /// Records that `host` works: it is tried first the next time. Returns true if another host,
    /// or none, worked before.
    pub fn connected(&self, host: usize) -> bool {
        self.first.store(host, Ordering::Relaxed);
        self.last_connected.swap(host, Ordering::Relaxed) != host
    }

    /// Records that `host` of `count` can't be used: the one behind it is tried first the next
    /// time, even if the caller gives up before it has tried them all.
    pub fn failed(&self, host: usize, count: usize) {
        self.first.store((host + 1) % count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_that_worked_is_tried_first_and_one_that_failed_last() {
        let hosts = HostOrder::default();
        let order = || hosts.candidates(3).collect::<Vec<_>>();
        assert_eq!(order(), [0, 1, 2]);
        hosts.failed(0, 3);
        assert_eq!(order(), [1, 2, 0]);
        assert!(hosts.connected(2), "none worked before");
        assert_eq!(order(), [2, 0, 1]);
        assert!(!hosts.clone().connected(2), "the same one as before");
        hosts.failed(2, 3);
        assert_eq!(order(), [0, 1, 2]);
    }
}
