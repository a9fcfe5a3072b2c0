//! The events that are sent: those that are ready, and those that go in a row right behind one.

use super::aggregate_queue::Head;
use super::{Place, Queue};
use crate::lanes::lane;

impl Queue {
    /// Takes at most `count` events to be sent, and no further one once their sizes add up to `bytes`.
    pub(crate) fn take(&mut self, count: usize, bytes: i64) -> Vec<Place> {
        let mut taken = Vec::with_capacity(count.min(self.ready.len()));
        let mut size = 0;
        while taken.len() < count
            && size < bytes
            && let Some(place) = self.ready.pop_front()
        {
            size += place.size;
            self.sent(&place);
            taken.push(place);
        }
        taken
    }

    /// Takes events that are sent apart from the others: at most `count`, no further one once their sizes add up to `bytes`, and only
    /// one if it `goes_alone`.
    pub(crate) fn take_apart(
        &mut self,
        count: usize,
        bytes: i64,
        goes_alone: impl Fn(&Place) -> bool,
    ) -> Vec<Place> {
        let mut taken: Vec<Place> = Vec::new();
        let mut size = 0;
        while taken.len() < count
            && size < bytes
            && let Some(next) = self.apart.front()
            && (taken.is_empty() || !goes_alone(&taken[0]) && !goes_alone(next))
            && let Some(place) = self.apart.pop_front()
        {
            size += place.size;
            self.sent(&place);
            taken.push(place);
        }
        taken
    }

    fn sent(&mut self, place: &Place) {
        self.busy[usize::from(lane(place.key))] += 1;
        self.head(place, Head::InFlight);
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
        let Some(line) = line.filter(|line| line.head == place.id && line.retried.is_none()) else {
            return Vec::new();
        };
        let count = line.behind.iter().take_while(|next| wanted(next)).count();
        let taken: Vec<Place> = line.behind.drain(..count).collect();
        line.head = taken.last().map_or(line.head, |last| last.id);
        if line.is_short() {
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
        let is_held = self.is_held(last.key);
        let Some(line) = self.lines.get_mut(&last.key) else {
            return;
        };
        line.head = last.id;
        for place in unsent {
            if kept && !is_held {
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
}
