//! How much is sent to a broker that did not confirm in time: one message, and twice as many after
//! each window that it confirms. So a queue without a leader, which keeps what it gets and confirms
//! nothing, costs few duplicates.

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct SlowStart {
    /// The most messages in flight; `None`: as many as there are windows for.
    limit: Option<usize>,
    /// The most messages that are in flight anyway.
    max: usize,
}

impl SlowStart {
    pub(crate) const fn new(max: usize) -> Self {
        Self { limit: None, max }
    }

    /// How many messages may be sent besides those in flight.
    pub(crate) fn room(&self, in_flight: usize) -> usize {
        self.limit.map_or(usize::MAX, |limit| limit.saturating_sub(in_flight))
    }

    /// Whether the limit applies.
    pub(crate) const fn is_on(&self) -> bool {
        self.limit.is_some()
    }

    /// The broker confirmed a window as a whole.
    pub(crate) fn confirmed(&mut self) {
        self.limit = self.limit.map(|limit| 2 * limit).filter(|limit| *limit < self.max);
    }

    /// The broker left messages unconfirmed for too long.
    pub(crate) const fn unconfirmed(&mut self) {
        self.limit = Some(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_one_message_and_doubles_until_nothing_limits_it() {
        let mut slow_start = SlowStart::new(7);
        assert_eq!((slow_start.room(1000), slow_start.is_on()), (usize::MAX, false));
        slow_start.confirmed();
        assert!(!slow_start.is_on());
        slow_start.unconfirmed();
        assert_eq!((slow_start.room(0), slow_start.room(1), slow_start.room(9)), (1, 0, 0));
        slow_start.confirmed();
        assert_eq!((slow_start.room(0), slow_start.room(1)), (2, 1));
        slow_start.confirmed();
        assert_eq!(slow_start.room(0), 4);
        slow_start.unconfirmed();
        assert_eq!(slow_start.room(0), 1);
        (0..3).for_each(|_| slow_start.confirmed());
        assert!(!slow_start.is_on());
    }
}
