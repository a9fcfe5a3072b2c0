//! Events that are sent apart from all others: the broker refused them before, or did not confirm them in time. A refused one goes alone,
//! as the broker may close the channel on whatever is sent with it. Of unconfirmed ones, which may all be meant for one queue without a
//! leader, one goes at first, and twice as many after each window that is confirmed.

use std::collections::{HashMap, HashSet};

use crate::publish::event::Event;
use crate::publish::verdict::{Refusal, Verdict};
use crate::publish::window::Loss;
use crate::queue::{Place, Queue};

/// Events that are remembered.
const MOST: usize = 100_000;

/// What the broker did with an event when it was sent last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Refused,
    Unconfirmed,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Apart {
    /// By id. They are known here for longer than in the queue, which forgets what is pending whenever the lanes are left to others.
    events: HashMap<i64, Trouble>,
    /// Ids of the window in flight: one at a time, so that those that are never confirmed leave the other channels free.
    in_flight: HashSet<i64>,
    /// Unconfirmed events that may be sent in one window.
    together: usize,
    /// Events in a window at the most.
    window: usize,
}

impl Apart {
    pub(crate) fn new(window: usize) -> Self {
        Self { events: HashMap::new(), in_flight: HashSet::new(), together: 1, window }
    }

    /// Whether the event goes apart.
    pub(crate) fn has(&self, id: i64) -> bool {
        self.events.contains_key(&id)
    }

    /// The broker refused the event.
    pub(crate) fn refused(&mut self, id: i64) {
        self.add(id, Trouble::Refused);
    }

    fn add(&mut self, id: i64, trouble: Trouble) {
        if self.events.len() >= MOST {
            // Those that other relays have dealt with are never removed one by one.
            self.events.clear();
        }
        self.events.insert(id, trouble);
    }

    /// A window has ended, this one or another.
    pub(crate) fn ended(&mut self, events: &[Event], verdicts: &[Verdict], lost: Option<&Loss>) {
        let is_apart = events.iter().any(|event| self.in_flight.contains(&event.place.id));
        if matches!(lost, Some(Loss::Unconfirmed(_))) {
            self.together = 1;
        } else if is_apart && verdicts.iter().all(|verdict| *verdict == Verdict::Published) {
            self.together = (2 * self.together).min(self.window);
        }
        for (event, verdict) in events.iter().zip(verdicts) {
            let id = event.place.id;
            match (verdict, lost) {
                (Verdict::Unknown, Some(Loss::Unconfirmed(_))) => {
                    self.add(id, Trouble::Unconfirmed);
                }
                (Verdict::Unknown, Some(Loss::OverMessage(_)))
                | (Verdict::Failed(Refusal::Refused | Refusal::Unacceptable, _), _) => {
                    self.refused(id);
                }
                (Verdict::Unknown, _) => (),
                _ => {
                    self.events.remove(&id);
                }
            }
        }
    }

    /// The next window, unless there is one in flight: at most `room` events, and no further one once their sizes add up to `bytes`.
    pub(crate) fn take(&mut self, queue: &mut Queue, room: usize, bytes: i64) -> Vec<Place> {
        if !self.in_flight.is_empty() {
            return Vec::new();
        }
        let goes_alone = |place: &Place| self.events.get(&place.id) != Some(&Trouble::Unconfirmed);
        let places = queue.take_apart(room.min(self.together), bytes, goes_alone);
        self.in_flight.extend(places.iter().map(|place| place.id));
        places
    }

    /// Removes the event from the window in flight; says whether it was in it.
    pub(crate) fn landed(&mut self, id: i64) -> bool {
        self.in_flight.remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// So many events that did not go with others, all of which are ready.
    fn queue(events: i64) -> Queue {
        let mut queue = Queue::new(true);
        for id in 1..=events {
            queue.see(Place { id, key: id, size: 1 });
        }
        for place in queue.take(usize::MAX, i64::MAX) {
            queue.set_apart(place);
        }
        queue
    }

    /// Takes a window, which lands with these verdicts, and says which events were in it.
    fn send(apart: &mut Apart, queue: &mut Queue, end: &Verdict, lost: Option<&Loss>) -> Vec<i64> {
        let places = apart.take(queue, usize::MAX, 1000);
        assert!(apart.take(queue, usize::MAX, 1000).is_empty(), "one window at a time");
        let events = places.iter().map(|place| {
            Event::unreadable(*place, Uuid::nil(), 0, "a model of an event".to_owned())
        });
        let events: Vec<_> = events.collect();
        apart.ended(&events, &vec![end.clone(); events.len()], lost);
        for place in &places {
            assert!(apart.landed(place.id));
            match end {
                Verdict::Unknown => queue.set_apart(*place),
                _ => queue.gone(place),
            }
        }
        places.iter().map(|place| place.id).collect()
    }

    #[test]
    fn unconfirmed_events_double_until_they_are_not_confirmed_again() {
        let mut apart = Apart::new(6);
        (1..=20).for_each(|id| apart.add(id, Trouble::Unconfirmed));
        let mut queue = queue(20);
        let timeout = Loss::Unconfirmed("no confirm".to_owned());
        let mut sizes = Vec::new();
        for end in [None, None, None, None, Some(&timeout), None, None] {
            let verdict = if end.is_some() { Verdict::Unknown } else { Verdict::Published };
            sizes.push(send(&mut apart, &mut queue, &verdict, end).len());
        }
        assert_eq!(sizes, [1, 2, 4, 6, 6, 1, 2]);
        assert_eq!(apart.events.len(), 20 - 16);
    }

    #[test]
    fn a_refused_event_goes_alone() {
        let mut apart = Apart::new(6);
        (1..=6).for_each(|id| apart.add(id, Trouble::Unconfirmed));
        apart.refused(3);
        apart.together = 6;
        let mut queue = queue(6);
        let published = &Verdict::Published;
        assert_eq!(send(&mut apart, &mut queue, published, None), [1, 2]);
        assert_eq!(send(&mut apart, &mut queue, published, None), [3]);
        assert_eq!(send(&mut apart, &mut queue, published, None), [4, 5, 6]);
    }
}
