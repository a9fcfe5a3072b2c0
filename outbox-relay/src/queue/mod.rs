//! The pending events that this relay has seen and not settled: which may be sent now, and which wait behind another of their
//! aggregate. Contents are loaded only when an event is sent, so that a place here costs some tens of bytes.
//!
//! Events come in, and are forgotten, in this file; beside it:
//!
//! | file | what happens to them |
//! |---|---|
//! | `line` | those of one aggregate stand one behind the other |
//! | `take` | some are taken to be sent |
//! | `outcome` | what became of those |
//! | `aside` | the outcome of some can't be written into the table for now |
//! | `lengthen` | more of an aggregate's are looked up in the table |

mod aggregate_queue;
mod dispatch;
mod outcomes;
mod refill;
mod unsettled;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::lanes::{LaneSet, lane};
use aggregate_queue::{Head, LINE, Line};

/// Events that are remembered before the relay looks no further ahead.
const FULL: usize = 50_000;

/// Of the aggregates. Tests go through them in the same order each time.
#[cfg(not(test))]
type Hasher = std::hash::RandomState;
#[cfg(test)]
type Hasher = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

/// A pending event that was seen in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) id: i64,
    /// The hash of its aggregate.
    pub(crate) key: i64,
    /// About as many bytes as its payload has.
    pub(crate) size: i64,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Queue {
    ordered: bool,
    ready: VecDeque<Place>,
    /// Those that are ready as well, and are sent apart from the others.
    apart: VecDeque<Place>,
    lines: HashMap<i64, Line, Hasher>,
    /// Every event that is ready, waits behind another, is in flight or not settled yet.
    known: HashSet<i64>,
    /// Those of them that are published and can't be settled for now, by aggregate.
    aside: HashMap<i64, BTreeSet<i64>>,
    /// Events of each lane that are in flight or not settled yet.
    busy: [usize; 64],
    /// Lines that may have to be looked up behind; also some that need it no more.
    short: Vec<i64>,
}

impl Queue {
    /// An empty queue; `ordered`: an aggregate's events go one after the other.
    pub(crate) fn new(ordered: bool) -> Self {
        Self {
            ordered,
            ready: VecDeque::new(),
            apart: VecDeque::new(),
            lines: HashMap::default(),
            known: HashSet::new(),
            aside: HashMap::new(),
            busy: [0; 64],
            short: Vec::new(),
        }
    }

    /// Adds an event that nobody tried yet, seen while looking ahead from lower ids to higher ones. Says whether it is new.
    pub(crate) fn see(&mut self, place: Place) -> bool {
        let known = self.known.len();
        self.add(place, false);
        self.known.len() > known
    }

    /// Adds an event that failed before and is due.
    pub(crate) fn see_due(&mut self, place: Place) {
        self.add(place, true);
    }

    fn add(&mut self, place: Place, retried: bool) {
        if self.known.contains(&place.id) {
            return;
        }
        if self.ordered {
            match self.lines.entry(place.key) {
                Entry::Vacant(line) => {
                    line.insert(Line {
                        head: place.id,
                        state: Head::Ready,
                        behind: VecDeque::new(),
                        more: retried,
                        retried: retried.then_some(place.id),
                    });
                }
                Entry::Occupied(mut line) => {
                    let line = line.get_mut();
                    if matches!(line.state, Head::Failed | Head::Held) {
                        return;
                    }
                    // One that appeared late, below those that are remembered, is not found behind them.
                    let last = line.behind.back().map_or(line.head, |last| last.id.max(line.head));
                    let is_late = place.id < last && !retried;
                    if !is_late && (line.more || retried || line.behind.len() >= LINE) {
                        line.more = true;
                        return;
                    }
                    let at = line.behind.partition_point(|other| other.id < place.id);
                    line.behind.insert(at, place);
                    self.known.insert(place.id);
                    return;
                }
            }
        }
        self.known.insert(place.id);
        self.ready.push_back(place);
    }

    /// Whether the queue knows of the event, or will come to it by itself.
    pub(crate) fn covers(&self, place: &Place) -> bool {
        self.known.contains(&place.id)
            || self
                .lines
                .get(&place.key)
                .is_some_and(|line| line.more || matches!(line.state, Head::Failed | Head::Held))
    }

    /// Events that may be sent now, together with others.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether it remembers as many events as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.known.len() >= FULL
    }

    /// Whether nothing is left to be sent, awaited or settled, but for what can't be settled for now.
    pub(crate) fn is_empty(&self) -> bool {
        let aside: usize = self.aside.values().map(BTreeSet::len).sum();
        self.known.len() == aside && self.lines.values().all(|line| line.state == Head::Held)
    }

    /// Lanes of which events are in flight or not settled yet.
    pub(crate) fn busy(&self) -> LaneSet {
        let bits = self.busy.iter().enumerate().filter(|(_, events)| **events > 0);
        LaneSet(bits.fold(0, |set, (lane, _)| set | 1 << lane))
    }

    /// Lanes were taken, perhaps after they had been lost: behind an event that failed before and is still in flight, the table holds
    /// back the others until it is settled, so that no look finds them.
    pub(crate) fn resume(&mut self, taken: LaneSet) {
        for (key, line) in &mut self.lines {
            line.more |= line.retried.is_some() && taken.has(lane(*key));
        }
    }

    /// Forgets what is not in flight of the lanes that are not among `kept`.
    pub(crate) fn keep(&mut self, kept: LaneSet) {
        self.keep_aside(kept);
        let known = &mut self.known;
        for ready in [&mut self.ready, &mut self.apart] {
            ready.retain(|place| {
                let keep = kept.has(lane(place.key));
                if !keep {
                    known.remove(&place.id);
                }
                keep
            });
        }
        self.lines.retain(|key, line| {
            if kept.has(lane(*key)) {
                return true;
            }
            for behind in line.behind.drain(..) {
                known.remove(&behind.id);
            }
            line.more = false;
            matches!(line.state, Head::InFlight | Head::Failed)
        });
    }
}

#[cfg(test)]
mod tests;
