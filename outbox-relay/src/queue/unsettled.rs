//! Events whose outcome is known and can't be written into the table for now: the rest of their aggregate waits.

use std::collections::BTreeSet;

use super::aggregate_queue::{Head, Line};
use super::{Place, Queue};
use crate::lanes::{LaneSet, lane};

impl Queue {
    /// An event that was taken is published, and its row can't be changed.
    pub(crate) fn set_aside(&mut self, place: &Place) {
        self.free(place);
        self.hold(place);
    }

    /// An event that was taken failed, and its row can't be changed: those behind it wait as they do anyway.
    pub(crate) fn set_failed_aside(&mut self, place: &Place) {
        self.free(place);
    }

    /// An event is published, and its row can't be changed; it was not taken from this queue.
    pub(crate) fn hold(&mut self, place: &Place) {
        self.known.insert(place.id);
        self.aside.entry(place.key).or_default().insert(place.id);
        if !self.ordered {
            return;
        }
        let Some(line) = self.lines.get_mut(&place.key) else {
            self.lines.insert(place.key, Line::held(place.id));
            return;
        };
        for behind in line.behind.drain(..) {
            self.known.remove(&behind.id);
        }
        line.more = true;
        match line.state {
            Head::Ready => {
                let head = line.head;
                *line = Line::held(place.id);
                for ready in [&mut self.ready, &mut self.apart] {
                    ready.retain(|ready| ready.id != head);
                }
                self.known.remove(&head);
            }
            Head::Done => *line = Line::held(line.head.min(place.id)),
            Head::Held => line.head = line.head.min(place.id),
            // It is held when its outcome is known.
            Head::InFlight | Head::Failed => (),
        }
    }

    /// An event that was set aside is settled by now, or is not pending any more.
    pub(crate) fn released(&mut self, place: &Place) {
        self.known.remove(&place.id);
        let is_free = self.aside.get_mut(&place.key).is_none_or(|events| {
            events.remove(&place.id);
            events.is_empty()
        });
        if is_free {
            self.aside.remove(&place.key);
        }
        let Some(line) = self.lines.get_mut(&place.key) else {
            return;
        };
        match line.state {
            Head::Failed if line.head == place.id => self.forget_failed(place),
            Head::Held if is_free => {
                line.state = Head::Done;
                self.short.push(place.key);
            }
            _ if is_free && line.is_short() => self.short.push(place.key),
            _ => (),
        }
    }

    /// The aggregate waits for `first`, which was set aside. Those that stand behind are forgotten: one with a lower id may have
    /// appeared since, and all of them are looked up again.
    pub(super) fn hold_line(&mut self, key: i64, first: i64) {
        let line = self.lines.insert(key, Line::held(first));
        for behind in line.into_iter().flat_map(|line| line.behind) {
            self.known.remove(&behind.id);
        }
    }

    /// Whether the aggregate waits for an event that was set aside.
    pub(super) fn is_held(&self, key: i64) -> bool {
        self.ordered && self.aside.contains_key(&key)
    }

    /// The id of the first event of the aggregate that was set aside.
    pub(super) fn first_aside(&self, key: i64) -> Option<i64> {
        self.aside.get(&key).and_then(BTreeSet::first).copied()
    }

    /// Forgets what was set aside of the lanes that are not among `kept`.
    pub(super) fn keep_aside(&mut self, kept: LaneSet) {
        let known = &mut self.known;
        self.aside.retain(|key, events| {
            let keep = kept.has(lane(*key));
            if !keep {
                for id in events.iter() {
                    known.remove(id);
                }
            }
            keep
        });
    }
}
