//! Counts the customer service's responses, to tell an overload from an outage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of calls that were answered. Clones share it.
///
/// If a lookup times out although another call was answered since it began, the service is up and
/// too many requests wait for it.
#[derive(Debug, Clone, Default)]
pub(super) struct ResponseCount(Arc<AtomicU64>);

/// The count at some moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(u64);

impl ResponseCount {
    /// Counts an answered call.
    pub(super) fn record(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count now.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.0.load(Ordering::Relaxed))
    }

    /// Returns whether a call was answered since `mark`.
    pub(super) fn any_since(&self, mark: Mark) -> bool {
        self.mark().0 != mark.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_after_the_mark_count() {
        let responses = ResponseCount::default();
        responses.record();
        let mark = responses.mark();
        assert!(!responses.any_since(mark), "an answer from before");
        responses.clone().record();
        assert!(responses.any_since(mark));
        assert!(!responses.any_since(responses.mark()));
    }
}
