//! The pending events that this relay has seen and not settled: which may be sent now, and which wait behind another of their
//! aggregate. Contents are loaded only when an event is sent, so that a place here costs some tens of bytes.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use crate::lanes::{LaneSet, lane};

/// Events of one aggregate that are remembered behind the one that is sent; those further behind stay in the table.
const LINE: usize = 128;

/// Fewer than these, and more are looked up while they are sent.
const SHORT: usize = LINE / 2;

/// Events that are remembered before the relay looks no further ahead.
const FULL: usize = 50_000;

/// A pending event that was seen in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) id: i64,
    /// The hash of its aggregate.
    pub(crate) key: i64,
    /// About as many bytes as its payload has.
    pub(crate) size: i64,
}

/// The events of one aggregate, from the moment when one is ready until none is left.
#[derive(Debug)]
struct Line {
    /// The one that is ready, in flight (the last of several that go in a row), or published last.
    head: i64,
    state: Head,
    behind: VecDeque<Place>,
    /// There are more in the table, behind the last one.
    more: bool,
    /// The head failed before: until it is settled as published, the table holds back those behind it.
    retried: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Ready,
    InFlight,
    /// It failed: those behind it wait until the table says that it failed.
    Failed,
    /// It is published, and those behind it have yet to be looked up.
    Done,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Queue {
    ordered: bool,
    ready: VecDeque<Place>,
    lines: HashMap<i64, Line>,
    /// Every event that is ready, waits behind another, is in flight or not settled yet.
    known: HashSet<i64>,
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
            lines: HashMap::new(),
            known: HashSet::new(),
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
                        retried,
                    });
                }
                Entry::Occupied(mut line) => {
                    let line = line.get_mut();
                    if line.state == Head::Failed {
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
                .is_some_and(|line| line.more || line.state == Head::Failed)
    }

    /// Events that may be sent now.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether it remembers as many events as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.known.len() >= FULL
    }

    /// Whether nothing is left to be sent, awaited or settled.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.lines.is_empty()
    }

    /// Lanes of which events are in flight or not settled yet.
    pub(crate) fn busy(&self) -> LaneSet {
        let bits = self.busy.iter().enumerate().filter(|(_, events)| **events > 0);
        LaneSet(bits.fold(0, |set, (lane, _)| set | 1 << lane))
    }

    /// Takes at most `count` events to be sent, and no further one once their sizes add up to `bytes`.
    pub(crate) fn take(&mut self, count: usize, bytes: i64) -> Vec<Place> {
        let mut taken = Vec::with_capacity(count.min(self.ready.len()));
        let mut size = 0;
        while taken.len() < count
            && size < bytes
            && let Some(place) = self.ready.pop_front()
        {
            size += place.size;
            self.busy[usize::from(lane(place.key))] += 1;
            self.head(&place, Head::InFlight);
            taken.push(place);
        }
        taken
    }

    /// Takes the events right behind one that was taken, as far as they are `wanted`, to be sent in a row: each when the one ahead is
    /// confirmed.
    pub(crate) fn follow(
        &mut self,
        place: &Place,
        mut wanted: impl FnMut(&Place) -> bool,
    ) -> Vec<Place> {
        // Behind one that failed before, the table holds the others back until it is settled.
        let line = self.lines.get_mut(&place.key);
        let Some(line) = line.filter(|line| line.head == place.id && !line.retried) else {
            return Vec::new();
        };
        let count = line.behind.iter().take_while(|next| wanted(next)).count();
        let taken: Vec<Place> = line.behind.drain(..count).collect();
        line.head = taken.last().map_or(line.head, |last| last.id);
        if line.more && line.behind.len() < SHORT {
            self.short.push(place.key);
        }
        self.busy[usize::from(lane(place.key))] += taken.len();
        taken
    }

    /// A row of events ended before its end: `last` is the last one that was sent. The others go back, or are forgotten with their
    /// lane unless that is `kept`.
    pub(crate) fn broke_off(&mut self, last: &Place, unsent: &[Place], kept: bool) {
        for place in unsent {
            self.free(place);
        }
        let Some(line) = self.lines.get_mut(&last.key) else {
            return;
        };
        line.head = last.id;
        for place in unsent {
            if kept {
                let at = line.behind.partition_point(|other| other.id < place.id);
                line.behind.insert(at, *place);
            } else {
                self.known.remove(&place.id);
            }
        }
    }

    /// At most `count` events that come next behind those in flight, until their sizes add up to `bytes`.
    pub(crate) fn upcoming(&self, count: usize, bytes: i64) -> Vec<Place> {
        let mut size = 0;
        let lines = self.lines.values().filter(|line| line.state == Head::InFlight);
        // Of few lines several each, of many lines a few of the next.
        let each = (count / self.lines.len().max(1)).max(1);
        let behind = lines.flat_map(|line| line.behind.iter().take(each));
        let fitting = behind.take_while(|place| {
            let fits = size < bytes;
            size += place.size;
            fits
        });
        fitting.take(count).copied().collect()
    }

    fn head(&mut self, place: &Place, state: Head) {
        if let Some(line) = self.lines.get_mut(&place.key)
            && line.head == place.id
        {
            line.state = state;
        }
    }

    /// An event that was taken goes back: nobody knows what became of it, or it was not sent.
    pub(crate) fn put_back(&mut self, place: Place) {
        self.free(&place);
        self.head(&place, Head::Ready);
        self.ready.push_front(place);
    }

    /// An event that was taken is none of this relay's any more: nobody knows what became of it, and another relay owns its lane.
    pub(crate) fn let_go(&mut self, place: &Place) {
        self.free(place);
        self.known.remove(&place.id);
        self.lines.remove(&place.key);
    }

    /// An event that was taken is published, though not settled yet: the next of its aggregate is ready, unless it went in the same
    /// row.
    pub(crate) fn published(&mut self, place: &Place) {
        let line = self.lines.get_mut(&place.key);
        let Some(line) = line.filter(|line| line.head == place.id) else {
            return;
        };
        if let Some(next) = line.behind.pop_front() {
            line.head = next.id;
            line.state = Head::Ready;
            self.ready.push_back(next);
        } else {
            line.state = Head::Done;
        }
        if line.more && line.behind.len() < SHORT {
            self.short.push(place.key);
        } else if line.state == Head::Done {
            self.lines.remove(&place.key);
        }
    }

    /// An event that was taken failed, and holds back those behind it.
    pub(crate) fn failed(&mut self, place: &Place) {
        if let Some(line) = self.lines.get_mut(&place.key) {
            line.state = Head::Failed;
            for behind in line.behind.drain(..) {
                self.known.remove(&behind.id);
            }
        }
    }

    /// The table knows what became of an event that was taken.
    pub(crate) fn settled(&mut self, place: &Place) {
        self.known.remove(&place.id);
        self.free(place);
        let Some(line) = self.lines.get_mut(&place.key) else {
            return;
        };
        match line.state {
            Head::Failed if line.head == place.id => {
                self.lines.remove(&place.key);
            }
            _ if line.head == place.id => line.retried = false,
            _ => (),
        }
    }

    fn free(&mut self, place: &Place) {
        let busy = &mut self.busy[usize::from(lane(place.key))];
        *busy = busy.saturating_sub(1);
    }

    /// An event that was taken is not pending any more, by somebody else's doing.
    pub(crate) fn gone(&mut self, place: &Place) {
        self.published(place);
        self.settled(place);
    }

    /// At most `count` lines of which too few events are remembered: key, and the id behind which the table holds more.
    pub(crate) fn short_lines(&mut self, count: usize) -> (Vec<i64>, Vec<i64>) {
        let (mut keys, mut ids) = (Vec::new(), Vec::new());
        if self.is_full() {
            // There is enough to be sent without them.
            return (keys, ids);
        }
        let mut later = Vec::new();
        for key in std::mem::take(&mut self.short) {
            let Some(line) = self.lines.get(&key) else {
                continue;
            };
            // Behind one that failed, the table is not asked before it knows of that.
            let short = line.more && line.state != Head::Failed && line.behind.len() < SHORT;
            if !short || keys.contains(&key) {
                continue;
            }
            if line.retried || keys.len() == count {
                later.push(key);
                continue;
            }
            keys.push(key);
            ids.push(line.behind.back().map_or(line.head, |last| last.id));
        }
        self.short = later;
        (keys, ids)
    }

    /// What the table holds behind lines that were short, at most [`Queue::LINE`] events of each.
    pub(crate) fn lengthen(&mut self, keys: &[i64], places: Vec<Place>) {
        let mut found: HashMap<i64, Vec<Place>> = HashMap::new();
        for place in places {
            found.entry(place.key).or_default().push(place);
        }
        for key in keys {
            let Some(line) = self.lines.get_mut(key) else {
                continue;
            };
            let found = found.remove(key).unwrap_or_default();
            line.more = found.len() >= LINE;
            for place in found {
                if self.known.insert(place.id) {
                    line.behind.push_back(place);
                }
            }
            if line.state == Head::Done {
                if let Some(next) = line.behind.pop_front() {
                    line.head = next.id;
                    line.state = Head::Ready;
                    self.ready.push_back(next);
                } else if line.more {
                    self.short.push(*key);
                } else {
                    self.lines.remove(key);
                }
            }
        }
    }

    /// How many events [`lengthen`](Self::lengthen) may be given of each line.
    pub(crate) const LINE: usize = LINE;

    /// Lanes were taken, perhaps after they had been lost: behind an event that failed before and is still in flight, the table holds
    /// back the others until it is settled, so that no look finds them.
    pub(crate) fn resume(&mut self, taken: LaneSet) {
        for (key, line) in &mut self.lines {
            line.more |= line.retried && taken.has(lane(*key));
        }
    }

    /// Forgets what is not in flight of the lanes that are not among `kept`.
    pub(crate) fn keep(&mut self, kept: LaneSet) {
        let known = &mut self.known;
        self.ready.retain(|place| {
            let keep = kept.has(lane(place.key));
            if !keep {
                known.remove(&place.id);
            }
            keep
        });
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
