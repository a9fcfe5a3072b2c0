//! Splits the events of a batch into transactions: the whole batch first, then smaller parts when
//! one fails, until the event to blame is alone. It decides only; [`super::Counter`] does the I/O.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::connection::EventOutcome;
use crate::consumer::message::OrderCreated;

/// When a transaction is too slow for an event of each of this many customers, and none is counted,
/// the events are not to blame: the database can't be used.
const SLOW_CUSTOMERS_OF_OUTAGE: usize = 3;

/// How many slow events are remembered.
const MAX_SLOW_EVENTS: usize = 1000;

/// What earlier batches have shown about the size of a transaction.
pub(super) struct Limits {
    /// How many events a transaction may hold: fewer after one that was too slow.
    max_part_size: usize,
    /// Events that were too slow even alone.
    slow_events: HashSet<Uuid>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_part_size: usize::MAX, slow_events: HashSet::new() }
    }
}

impl Limits {
    /// Allows the next transaction to be twice as large as this one, which was fast enough.
    fn record_success(&mut self, part: &[OrderCreated]) {
        self.max_part_size = self.max_part_size.max(part.len().saturating_mul(2));
        if let [event] = part {
            self.slow_events.remove(&event.event_id);
        }
    }

    fn record_slow(&mut self, event_id: Uuid) {
        if self.slow_events.len() >= MAX_SLOW_EVENTS {
            self.slow_events.clear();
        }
        self.slow_events.insert(event_id);
    }
}

/// The events of a batch that are still to be counted, and the outcomes of the others.
pub(super) struct Splitter<'a> {
    limits: &'a mut Limits,
    /// A stack: the last part is the next one.
    parts: Vec<Vec<OrderCreated>>,
    outcomes: HashMap<Uuid, EventOutcome>,
    is_any_counted: bool,
    slow_customers: HashSet<Uuid>,
}

impl<'a> Splitter<'a> {
    /// Splits `events`, of which those with the same id count as one. Events that were too slow
    /// before come last, each by itself.
    pub(super) fn new(
        limits: &'a mut Limits,
        events: impl IntoIterator<Item = OrderCreated>,
    ) -> Self {
        let mut distinct = BTreeMap::new();
        for event in events {
            distinct.entry(event.event_id).or_insert(event);
        }
        let (slow, others): (Vec<_>, Vec<_>) =
            distinct.into_values().partition(|event| limits.slow_events.contains(&event.event_id));
        let mut parts: Vec<Vec<OrderCreated>> = slow.into_iter().map(|event| vec![event]).collect();
        parts.push(others);
        Self {
            limits,
            parts,
            outcomes: HashMap::new(),
            is_any_counted: false,
            slow_customers: HashSet::new(),
        }
    }

    /// The events of the next transaction, or `None` when all events have an outcome.
    pub(super) fn next_part(&mut self) -> Option<Vec<OrderCreated>> {
        let mut part = loop {
            let part = self.parts.pop()?;
            // An empty part, halved after an error, would never come to an end.
            if !part.is_empty() {
                break part;
            }
        };
        if part.len() > self.limits.max_part_size {
            let rest = part.split_off(self.limits.max_part_size);
            self.parts.push(rest);
        }
        Some(part)
    }

    /// Records a committed transaction.
    pub(super) fn counted(&mut self, part: &[OrderCreated], outcomes: HashMap<Uuid, EventOutcome>) {
        self.is_any_counted = true;
        self.limits.record_success(part);
        self.outcomes.extend(outcomes);
    }

    /// Halves a part of which the database refuses an event.
    pub(super) fn refused(&mut self, part: Vec<OrderCreated>, reason: String) {
        self.halve(part, EventOutcome::Refused(reason));
    }

    /// Halves a part that waits for a lock of something else than a customer.
    pub(super) fn blocked(&mut self, part: Vec<OrderCreated>, reason: String) {
        self.halve(part, EventOutcome::Blocked(reason));
    }

    /// Separates the events of `locked` customers from the others, which come first. The former are
    /// tried again when the batch may still wait, and are blocked otherwise.
    pub(super) fn customers_locked(
        &mut self,
        part: Vec<OrderCreated>,
        locked: &HashSet<Uuid>,
        may_wait: bool,
    ) {
        let (blocked, free): (Vec<_>, Vec<_>) =
            part.into_iter().partition(|event| locked.contains(&event.customer_id));
        if may_wait {
            self.parts.push(blocked);
        } else {
            self.outcomes.extend(blocked.iter().map(|event| {
                let reason = format!("customer {} is locked", event.customer_id);
                (event.event_id, EventOutcome::Blocked(reason))
            }));
        }
        if !free.is_empty() {
            self.parts.push(free);
        }
    }

    /// Halves a part that took too long, and all later ones.
    ///
    /// # Errors
    /// Returns `reason` when the database counts as unusable.
    pub(super) fn too_slow(
        &mut self,
        part: Vec<OrderCreated>,
        reason: String,
    ) -> Result<(), String> {
        if let [event] = part.as_slice() {
            self.slow_customers.insert(event.customer_id);
            if !self.is_any_counted && self.slow_customers.len() == SLOW_CUSTOMERS_OF_OUTAGE {
                return Err(reason);
            }
            self.limits.record_slow(event.event_id);
            self.outcomes.insert(event.event_id, EventOutcome::Blocked(reason));
        } else {
            self.limits.max_part_size = part.len().div_ceil(2);
            self.parts.push(part);
        }
        Ok(())
    }

    /// The outcome of each event.
    pub(super) fn into_outcomes(self) -> HashMap<Uuid, EventOutcome> {
        self.outcomes
    }

    /// Puts both halves of `part` on the stack; a single event gets the outcome `alone`.
    fn halve(&mut self, mut part: Vec<OrderCreated>, alone: EventOutcome) {
        if let [event] = part.as_slice() {
            self.outcomes.insert(event.event_id, alone);
            return;
        }
        let right = part.split_off(part.len() / 2);
        self.parts.extend([right, part]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(event: u128, customer: u128) -> OrderCreated {
        OrderCreated {
            event_id: Uuid::from_u128(event),
            customer_id: Uuid::from_u128(customer),
            occurred_at: None,
        }
    }

    fn ids(part: &[OrderCreated]) -> Vec<u128> {
        part.iter().map(|event| event.event_id.as_u128()).collect()
    }

    fn count(splitter: &mut Splitter<'_>, part: &[OrderCreated]) {
        let outcomes = part.iter().map(|event| (event.event_id, EventOutcome::Counted)).collect();
        splitter.counted(part, outcomes);
    }

    #[test]
    fn a_batch_with_a_refused_event_is_halved_until_that_is_alone() {
        let mut limits = Limits::default();
        let mut splitter = Splitter::new(&mut limits, (1..=5).map(|event| order(event, event)));
        let mut sizes = Vec::new();
        while let Some(part) = splitter.next_part() {
            sizes.push(part.len());
            if ids(&part).contains(&4) {
                splitter.refused(part, "no".to_owned());
            } else {
                count(&mut splitter, &part);
            }
        }
        assert_eq!(sizes, [5, 2, 3, 1, 2, 1, 1]);
        let outcomes = splitter.into_outcomes();
        assert_eq!(outcomes.len(), 5);
        for (event, outcome) in outcomes {
            let refused = event.as_u128() == 4;
            assert_eq!(outcome == EventOutcome::Refused("no".to_owned()), refused, "{event}");
        }
    }

    #[test]
    fn events_of_locked_customers_wait_behind_the_others_and_then_are_blocked() {
        let mut limits = Limits::default();
        let mut splitter = Splitter::new(&mut limits, [order(1, 7), order(2, 8), order(3, 7)]);
        let locked = HashSet::from([Uuid::from_u128(7)]);
        let batch = splitter.next_part().expect("the batch");
        splitter.customers_locked(batch, &locked, true);
        let free = splitter.next_part().expect("the free event");
        assert_eq!(ids(&free), [2]);
        count(&mut splitter, &free);
        let waiting = splitter.next_part().expect("the others");
        assert_eq!(ids(&waiting), [1, 3]);
        splitter.customers_locked(waiting, &locked, false);
        assert_eq!(splitter.next_part().map(|part| ids(&part)), None);
        let outcomes = splitter.into_outcomes();
        assert!(matches!(&outcomes[&Uuid::from_u128(1)], EventOutcome::Blocked(_)));
        assert_eq!(outcomes[&Uuid::from_u128(2)], EventOutcome::Counted);
    }

    #[test]
    fn a_slow_batch_is_halved_and_a_slow_event_comes_last_in_the_next_one() {
        let mut limits = Limits::default();
        let mut splitter = Splitter::new(&mut limits, (1..=4).map(|event| order(event, event)));
        while let Some(part) = splitter.next_part() {
            if ids(&part).contains(&1) {
                splitter.too_slow(part, "slow".to_owned()).expect("one slow customer");
            } else {
                count(&mut splitter, &part);
            }
        }
        assert_eq!(limits.max_part_size, 4, "halved twice, then doubled twice");
        let mut splitter = Splitter::new(&mut limits, [order(1, 1), order(5, 5)]);
        let parts: Vec<_> =
            std::iter::from_fn(|| splitter.next_part()).map(|part| ids(&part)).collect();
        assert_eq!(parts, [[5], [1]]);
    }

    #[test]
    fn a_batch_of_slow_events_alone_or_of_none_ends() {
        let mut limits = Limits::default();
        limits.record_slow(Uuid::from_u128(1));
        let mut splitter = Splitter::new(&mut limits, [order(1, 1)]);
        let part = splitter.next_part().expect("the slow event");
        assert_eq!(ids(&part), [1]);
        splitter.too_slow(part, "slow".to_owned()).expect("one slow customer");
        assert_eq!(splitter.next_part().map(|part| ids(&part)), None);
        assert_eq!(Splitter::new(&mut limits, []).next_part().map(|part| ids(&part)), None);
    }

    #[test]
    fn the_database_is_down_when_it_is_too_slow_for_three_customers_and_counts_nothing() {
        let mut limits = Limits::default();
        let mut splitter = Splitter::new(&mut limits, (1..=3).map(|event| order(event, event)));
        let mut slow = 0;
        let reason = loop {
            let part = splitter.next_part().expect("events");
            slow += usize::from(part.len() == 1);
            if let Err(reason) = splitter.too_slow(part, "slow".to_owned()) {
                break reason;
            }
        };
        assert_eq!((reason.as_str(), slow), ("slow", 3));
    }
}
