//! The pending events that this relay has read and not settled: which may be sent now, and which
//! wait behind another of their aggregate. Contents are loaded only when an event is sent, so that
//! an event costs some tens of bytes here.
//!
//! | file | what is in it |
//! |---|---|
//! | `aggregate_queue`, `transition` | the ordering rule: the state of one aggregate's events |
//! | `dispatch` | events are taken to be sent |
//! | `outcomes` | what became of those |
//! | `paused` | events that are not to be sent for now |
//! | `refill` | more of an aggregate's events are read from the table |

mod aggregate_queue;
mod dispatch;
mod outcomes;
mod paused;
mod refill;
mod transition;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::lanes::{LaneSet, lane};
use aggregate_queue::AggregateQueue;
use transition::{Arrival, Effects, Next};

/// Tracked events above which no new ones are read.
const FULL: usize = 50_000;

/// Aggregates with a paused event above which no new events are read: about 36 MB.
const MAX_PAUSED: usize = 1_500_000;

/// Of the aggregates. Tests go through them in the same order each time.
#[cfg(not(test))]
type Hasher = std::hash::RandomState;
#[cfg(test)]
type Hasher = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

/// A pending event that was seen in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventRef {
    pub(crate) id: i64,
    /// The hash of its aggregate.
    pub(crate) key: i64,
    /// About as many bytes as its payload has.
    pub(crate) size: i64,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Queue {
    /// Whether an aggregate's events go one after the other.
    ordered: bool,
    /// Events that may be sent, together with others.
    ready: VecDeque<EventRef>,
    /// Events that may be sent, apart from the others.
    quarantined: VecDeque<EventRef>,
    /// The aggregates of which events are tracked, by the hash of each; empty unless `ordered`.
    aggregates: HashMap<i64, AggregateQueue, Hasher>,
    /// Ids of all events that are ready, wait behind another, are in flight or not settled yet.
    tracked: HashSet<i64>,
    /// Ids of those that are published and can't be settled for now, by aggregate.
    unsettled: HashMap<i64, BTreeSet<i64>>,
    /// The first paused event of each aggregate in which some are paused for their type. Those
    /// behind it stay in the table.
    paused: HashMap<i64, i64, Hasher>,
    /// How many events of each lane are in flight or not settled yet.
    busy: [usize; 64],
    /// Aggregates of which more events may have to be read; also some that need it no longer.
    underfilled: Vec<i64>,
}

impl Queue {
    /// An empty queue; `ordered`: an aggregate's events go one after the other.
    pub(crate) fn new(ordered: bool) -> Self {
        Self {
            ordered,
            ready: VecDeque::new(),
            quarantined: VecDeque::new(),
            aggregates: HashMap::default(),
            tracked: HashSet::new(),
            unsettled: HashMap::new(),
            paused: HashMap::default(),
            busy: [0; 64],
            underfilled: Vec::new(),
        }
    }

    /// Adds an event that has not been tried yet, found by a scan from lower ids to higher ones, or
    /// scheduled and due. Returns whether it is new.
    pub(crate) fn push(&mut self, event: EventRef) -> bool {
        self.add(event, Arrival::New)
    }

    /// Adds an event that failed before and is due.
    pub(crate) fn push_retry(&mut self, event: EventRef) {
        self.add(event, Arrival::Retry);
    }

    fn add(&mut self, event: EventRef, arrival: Arrival) -> bool {
        if self.tracked.contains(&event.id) || self.is_behind_paused(&event) {
            return false;
        }
        if self.ordered {
            match self.aggregates.entry(event.key) {
                Entry::Vacant(aggregate) => {
                    aggregate.insert(AggregateQueue::new(event, arrival));
                }
                Entry::Occupied(mut aggregate) => {
                    let (is_tracked, effects) = aggregate.get_mut().arrive(event, arrival);
                    // Before it is forgotten again, as others come first.
                    let is_new = is_tracked && self.tracked.insert(event.id);
                    self.apply(event.key, effects);
                    return is_new;
                }
            }
        }
        self.ready.push_back(event);
        self.tracked.insert(event.id)
    }

    /// Whether the queue has the event, or will read it without a scan finding it.
    pub(crate) fn tracks(&self, event: &EventRef) -> bool {
        self.tracked.contains(&event.id)
            || self.is_behind_paused(event)
            || self.aggregates.get(&event.key).is_some_and(AggregateQueue::will_read_more)
    }

    /// How many events may be sent now, together with others.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether it tracks as many events as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.tracked.len() >= FULL
    }

    /// Whether it tracks so many events that not even those that are due are read.
    pub(crate) fn is_overfull(&self) -> bool {
        self.tracked.len() >= 2 * FULL
    }

    /// Whether nothing is left to be sent, awaited or settled, but for what can't be settled for
    /// now.
    pub(crate) fn is_empty(&self) -> bool {
        let unsettled: usize = self.unsettled.values().map(BTreeSet::len).sum();
        self.tracked.len() == unsettled
            && self.aggregates.values().all(AggregateQueue::is_unsettled)
    }

    /// Lanes of which events are in flight or not settled yet.
    pub(crate) fn busy_lanes(&self) -> LaneSet {
        let bits = self.busy.iter().enumerate().filter(|(_, events)| **events > 0);
        LaneSet(bits.fold(0, |set, (lane, _)| set | 1 << lane))
    }

    /// Lanes were taken, perhaps after they had been lost.
    pub(crate) fn lanes_taken(&mut self, taken: LaneSet) {
        for (key, aggregate) in &mut self.aggregates {
            if taken.has(lane(*key)) {
                aggregate.lane_taken();
            }
        }
    }

    /// Forgets what is not in flight of the lanes that are not among `kept`.
    pub(crate) fn retain_lanes(&mut self, kept: LaneSet) {
        self.paused.retain(|key, _| kept.has(lane(*key)));
        let tracked = &mut self.tracked;
        let aggregates = &mut self.aggregates;
        self.unsettled.retain(|key, events| {
            let keep = kept.has(lane(*key));
            if !keep {
                for id in events.iter() {
                    tracked.remove(id);
                    if let Some(aggregate) = aggregates.get_mut(key) {
                        aggregate.forget_retry(*id);
                    }
                }
            }
            keep
        });
        for ready in [&mut self.ready, &mut self.quarantined] {
            ready.retain(|event| {
                let keep = kept.has(lane(event.key));
                if !keep {
                    tracked.remove(&event.id);
                }
                keep
            });
        }
        self.aggregates.retain(|key, aggregate| {
            if kept.has(lane(*key)) {
                return true;
            }
            let effects = aggregate.lane_lost();
            for event in &effects.forgotten {
                tracked.remove(&event.id);
            }
            effects.next == Next::Keep
        });
    }

    /// Runs a transition of the aggregate `key`, if events of it are queued, and does what it asks
    /// for. The transition is given the id of the aggregate's first unsettled event.
    fn transition(
        &mut self,
        key: i64,
        run: impl FnOnce(&mut AggregateQueue, Option<i64>) -> Effects,
    ) {
        let first_unsettled = self.first_unsettled(key);
        if let Some(aggregate) = self.aggregates.get_mut(&key) {
            let effects = run(aggregate, first_unsettled);
            self.apply(key, effects);
        }
    }

    fn apply(&mut self, key: i64, effects: Effects) {
        let Effects { ready, withdrawn, forgotten, next } = effects;
        self.ready.extend(ready);
        if let Some(id) = withdrawn {
            for ready in [&mut self.ready, &mut self.quarantined] {
                ready.retain(|event| event.id != id);
            }
            self.tracked.remove(&id);
        }
        for event in &forgotten {
            self.tracked.remove(&event.id);
        }
        match next {
            Next::Keep => (),
            Next::Refill => self.underfilled.push(key),
            Next::Remove => {
                self.aggregates.remove(&key);
            }
        }
    }

    /// The id of the first event that the rest of its aggregate waits for, as it can't be settled.
    fn first_unsettled(&self, key: i64) -> Option<i64> {
        let unsettled = self.unsettled.get(&key).filter(|_| self.ordered)?;
        unsettled.first().copied()
    }
}

#[cfg(test)]
mod tests;
