//! What comes of looking a customer up.

use std::time::{Duration, Instant};

use super::Customer;

/// How long an unknown customer is remembered, and the answer to an earlier question is believed: one who was just created is found after
/// this time at the latest.
pub(super) const UNKNOWN_TTL: Duration = Duration::from_secs(2);

/// What is known about a customer now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// There is one.
    Known(Customer),
    /// There is none.
    Unknown,
    /// The customer service is well, and too many wait for it; the reason is for the log.
    Overloaded(String),
    /// The customer service does not answer; the reason is for the log.
    Unavailable(String),
}

/// What came of a call, for all who waited for it.
#[derive(Debug, Clone)]
pub(super) struct TimedLookup {
    pub(super) lookup: Lookup,
    /// When the customer service was asked, or when that was given up.
    pub(super) asked: Instant,
}

impl TimedLookup {
    /// Whether it is too old for a caller who came at `arrived`: the customer may have been created between the question and the caller.
    pub(super) fn is_outdated(&self, arrived: Instant) -> bool {
        self.lookup == Lookup::Unknown && arrived >= self.asked + UNKNOWN_TTL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unknown_customer_is_asked_for_again_and_only_after_two_seconds() {
        let asked = Instant::now();
        let outcome = |lookup| TimedLookup { lookup, asked };
        let late = asked + UNKNOWN_TTL;
        assert!(outcome(Lookup::Unknown).is_outdated(late));
        assert!(!outcome(Lookup::Unknown).is_outdated(late - Duration::from_nanos(1)));
        assert!(!outcome(Lookup::Unavailable(String::new())).is_outdated(late));
    }
}
