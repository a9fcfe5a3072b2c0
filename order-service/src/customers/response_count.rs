//! Whether the customer service is well, judged by its answers to anybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the answers. Clones share the count.
///
/// The service is *well* for a look-up that has no answer in time when another call was answered since the look-up began: then the
/// crowd is to blame, and not the service.
#[derive(Debug, Clone, Default)]
pub(super) struct ResponseCount(Arc<AtomicU64>);

/// How many answers there were at some moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(u64);

impl ResponseCount {
    /// A call was answered.
    pub(super) fn record(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// This moment.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.0.load(Ordering::Relaxed))
    }

    /// Whether a call was answered since `mark`.
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
