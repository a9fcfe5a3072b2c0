//! Aggregates of which the table holds more events than are tracked.

use std::collections::HashMap;

use super::aggregate_queue::CAPACITY;
use super::transition::Refill;
use super::{EventRef, Queue};

impl Queue {
    /// How many events [`refill`](Self::refill) may be given of each aggregate.
    pub(crate) const REFILL: usize = CAPACITY;

    /// At most `count` aggregates of which too few events are tracked: key, and the id behind which
    /// the table holds more.
    pub(crate) fn underfilled(&mut self, count: usize) -> (Vec<i64>, Vec<i64>) {
        let (mut keys, mut ids) = (Vec::new(), Vec::new());
        if self.is_full() {
            // There is enough to be sent without them.
            return (keys, ids);
        }
        let mut later = Vec::new();
        for key in std::mem::take(&mut self.underfilled) {
            let Some(aggregate) = self.aggregates.get(&key) else {
                continue;
            };
            match aggregate.needs_refill() {
                Refill::NotNeeded => (),
                _ if keys.contains(&key) => (),
                Refill::Above(id) if keys.len() < count => {
                    keys.push(key);
                    ids.push(id);
                }
                Refill::Above(_) | Refill::Later => later.push(key),
            }
        }
        self.underfilled = later;
        (keys, ids)
    }

    /// Adds what the table holds behind aggregates that were underfilled, at most [`Queue::REFILL`]
    /// events of each.
    pub(crate) fn refill(&mut self, keys: &[i64], events: Vec<EventRef>) {
        let mut found: HashMap<i64, Vec<EventRef>> = HashMap::new();
        // Those behind a paused one are not read before the pauses change.
        for event in events.into_iter().filter(|event| !self.is_behind_paused(event)) {
            found.entry(event.key).or_default().push(event);
        }
        for key in keys {
            let found = found.remove(key).unwrap_or_default();
            let tracked = &mut self.tracked;
            if let Some(aggregate) = self.aggregates.get_mut(key) {
                let effects = aggregate.refill(found, |event| tracked.insert(event.id));
                self.apply(*key, effects);
            }
        }
    }
}
