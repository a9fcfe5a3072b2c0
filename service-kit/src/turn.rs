//! Which of several servers is tried first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whose turn it is among servers that are numbered from 0. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    next: Arc<AtomicUsize>,
    worked: Arc<AtomicUsize>,
}

impl Default for Turn {
    fn default() -> Self {
        Self { next: Arc::default(), worked: Arc::new(AtomicUsize::new(usize::MAX)) }
    }
}

impl Turn {
    /// Each of `count` servers once, beginning with the one whose turn it is.
    pub(crate) fn order(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.next.load(Ordering::Relaxed);
        (first..first + count).map(move |place| place % count)
    }

    /// This one works: it is the first to be tried the next time. Returns whether it is another than the last one that did.
    pub(crate) fn works(&self, place: usize) -> bool {
        self.next.store(place, Ordering::Relaxed);
        self.worked.swap(place, Ordering::Relaxed) != place
    }

    /// This one does not work: it is the turn of the one behind it, also when whoever tries gives up before they have tried
    /// them all.
    pub(crate) fn failed(&self, place: usize, count: usize) {
        self.next.store((place + 1) % count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_worked_is_tried_first_and_one_that_failed_last() {
        let turn = Turn::default();
        let order = || turn.order(3).collect::<Vec<_>>();
        assert_eq!(order(), [0, 1, 2]);
        turn.failed(0, 3);
        assert_eq!(order(), [1, 2, 0]);
        assert!(turn.works(2), "none worked before");
        assert_eq!(order(), [2, 0, 1]);
        assert!(!turn.clone().works(2), "the same one as before");
        turn.failed(2, 3);
        assert_eq!(order(), [0, 1, 2]);
    }
}
