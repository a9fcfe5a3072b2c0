//! Events that are sent apart from all others, as the broker refused them or did not confirm them
//! in time. A refused one goes alone: the broker may close the channel on whatever is sent with it.
//! Of the unconfirmed ones, which may all be meant for one queue without a leader, one goes at
//! first, and twice as many after each window that is confirmed.

use std::collections::{HashMap, HashSet};

use crate::publish::event::Event;
use crate::publish::verdict::{FailureCause, Verdict};
use crate::publish::window::Loss;
use crate::queue::{EventRef, Queue};

/// The most events that are remembered.
const MAX_EVENTS: usize = 100_000;

/// Why an event is quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Refused,
    Unconfirmed,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Quarantine {
    /// By id. They stay here for longer than in the queue, which forgets what is pending whenever
    /// lanes go to other relays.
    events: HashMap<i64, Reason>,
    /// Ids of the quarantined window in flight: one at a time, so that events that are never
    /// confirmed leave the other channels free.
    in_flight: HashSet<i64>,
    /// How many unconfirmed events may be sent in one window.
    batch_size: usize,
    /// The most events of a window: `RELAY_WINDOW`.
    window: usize,
}

impl Quarantine {
    pub(crate) fn new(window: usize) -> Self {
        Self { events: HashMap::new(), in_flight: HashSet::new(), batch_size: 1, window }
    }

    /// Whether the event is quarantined.
    pub(crate) fn contains(&self, id: i64) -> bool {
        self.events.contains_key(&id)
    }

    /// Adds an event that the broker refused.
    pub(crate) fn add_refused(&mut self, id: i64) {
        self.add(id, Reason::Refused);
    }

    fn add(&mut self, id: i64, reason: Reason) {
        if self.events.len() >= MAX_EVENTS {
            // Events that other relays have published are never removed one by one.
            self.events.clear();
        }
        self.events.insert(id, reason);
    }

    /// Adds and removes events by how a window ended, a quarantined one or another.
    pub(crate) fn window_ended(
        &mut self,
        events: &[Event],
        verdicts: &[Verdict],
        lost: Option<&Loss>,
    ) {
        let is_own = events.iter().any(|event| self.in_flight.contains(&event.event_ref.id));
        if matches!(lost, Some(Loss::Unconfirmed(_))) {
            self.batch_size = 1;
        } else if is_own && verdicts.iter().all(|verdict| *verdict == Verdict::Published) {
            self.batch_size = (2 * self.batch_size).min(self.window);
        }
        for (event, verdict) in events.iter().zip(verdicts) {
            let id = event.event_ref.id;
            match (verdict, lost) {
                (Verdict::Unknown, Some(Loss::Unconfirmed(_))) => {
                    self.add(id, Reason::Unconfirmed);
                }
                (Verdict::Unknown, Some(Loss::OverMessage(_)))
                | (
                    Verdict::Failed(FailureCause::ChannelClosed | FailureCause::Unacceptable, _),
                    _,
                ) => {
                    self.add_refused(id);
                }
                (Verdict::Unknown, _) => (),
                _ => {
                    self.events.remove(&id);
                }
            }
        }
    }

    /// Takes the next window, unless one is in flight: at most `room` events, and no further one
    /// once their sizes add up to `bytes`.
    pub(crate) fn take_window(
        &mut self,
        queue: &mut Queue,
        room: usize,
        bytes: i64,
    ) -> Vec<EventRef> {
        if !self.in_flight.is_empty() {
            return Vec::new();
        }
        let goes_alone =
            |event_ref: &EventRef| self.events.get(&event_ref.id) != Some(&Reason::Unconfirmed);
        let event_refs = queue.take_quarantined(room.min(self.batch_size), bytes, goes_alone);
        self.in_flight.extend(event_refs.iter().map(|event_ref| event_ref.id));
        event_refs
    }

    /// Removes the event from the window in flight. Returns whether it was in it.
    pub(crate) fn completed(&mut self, id: i64) -> bool {
        self.in_flight.remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// A queue of so many quarantined events.
    fn queue(events: i64) -> Queue {
        let mut queue = Queue::new(true);
        for id in 1..=events {
            queue.push(EventRef { id, key: id, size: 1 });
        }
        for event_ref in queue.take(usize::MAX, i64::MAX) {
            queue.quarantine(event_ref);
        }
        queue
    }

    /// Sends a window, which ends with these verdicts. Returns the ids of its events.
    fn send(
        quarantine: &mut Quarantine,
        queue: &mut Queue,
        end: &Verdict,
        lost: Option<&Loss>,
    ) -> Vec<i64> {
        let event_refs = quarantine.take_window(queue, usize::MAX, 1000);
        assert!(quarantine.take_window(queue, usize::MAX, 1000).is_empty(), "one window at a time");
        let events = event_refs.iter().map(|event_ref| {
            Event::unreadable(*event_ref, Uuid::nil(), 0, "a model of an event".to_owned())
        });
        let events: Vec<_> = events.collect();
        quarantine.window_ended(&events, &vec![end.clone(); events.len()], lost);
        for event_ref in &event_refs {
            assert!(quarantine.completed(event_ref.id));
            match end {
                Verdict::Unknown => queue.quarantine(*event_ref),
                _ => queue.gone(event_ref),
            }
        }
        event_refs.iter().map(|event_ref| event_ref.id).collect()
    }

    #[test]
    fn unconfirmed_events_double_until_they_are_not_confirmed_again() {
        let mut quarantine = Quarantine::new(6);
        (1..=20).for_each(|id| quarantine.add(id, Reason::Unconfirmed));
        let mut queue = queue(20);
        let timeout = Loss::Unconfirmed("no confirm".to_owned());
        let mut sizes = Vec::new();
        for end in [None, None, None, None, Some(&timeout), None, None] {
            let verdict = if end.is_some() { Verdict::Unknown } else { Verdict::Published };
            sizes.push(send(&mut quarantine, &mut queue, &verdict, end).len());
        }
        assert_eq!(sizes, [1, 2, 4, 6, 6, 1, 2]);
        assert_eq!(quarantine.events.len(), 20 - 16);
    }

    #[test]
    fn a_refused_event_goes_alone() {
        let mut quarantine = Quarantine::new(6);
        (1..=6).for_each(|id| quarantine.add(id, Reason::Unconfirmed));
        quarantine.add_refused(3);
        quarantine.batch_size = 6;
        let mut queue = queue(6);
        let published = &Verdict::Published;
        assert_eq!(send(&mut quarantine, &mut queue, published, None), [1, 2]);
        assert_eq!(send(&mut quarantine, &mut queue, published, None), [3]);
        assert_eq!(send(&mut quarantine, &mut queue, published, None), [4, 5, 6]);
    }
}
