//! The result of looking a customer up.

use std::time::{Duration, Instant};

use super::Customer;

/// How long an unknown customer is cached, and how old a shared "unknown" may be: a customer that
/// was just created is found after this time at the latest.
pub(super) const UNKNOWN_TTL: Duration = Duration::from_secs(2);

/// The result of looking a customer up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// There is such a customer.
    Known(Customer),
    /// There is no such customer.
    Unknown,
    /// The customer service answers, but too many requests wait for it; the reason is for the log.
    Overloaded(String),
    /// The customer service does not answer; the reason is for the log.
    Unavailable(String),
}

/// The result of a call, for all requests that waited for it.
#[derive(Debug, Clone)]
pub(super) struct TimedLookup {
    pub(super) lookup: Lookup,
    /// When the customer service was asked, or the attempt was given up.
    pub(super) asked: Instant,
}

impl TimedLookup {
    /// Returns whether it is too old for a request that arrived at `arrived`: the customer may have
    /// been created between the call and the request.
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
