//! Events whose contents were sent to a broker, or are about to be: a change that a person makes now comes too late for them.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::publish::event::Event;
use crate::publish::verdict::{Refusal, Verdict};
use crate::queue::Place;

/// How long an event counts as sent of which nobody knows whether the broker took it. Then it was sent again, if it is still pending.
const DOUBT: Duration = Duration::from_mins(1);

/// See the [module](self); all by their ids.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// In flight, or confirmed but not settled yet.
    unsettled: HashSet<i64>,
    /// Settled since the audit table was last looked at. A person may have discarded one just before it was settled.
    settled: Vec<i64>,
    /// Lost with a connection.
    unknown: VecDeque<(Instant, i64)>,
}

impl Sent {
    pub(crate) fn begin<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        self.unsettled.extend(events.into_iter().map(|event| event.place.id));
    }

    /// A window has ended with one verdict for each of `events`; `unsent` were not sent after all.
    pub(crate) fn ended(&mut self, events: &[Event], verdicts: &[Verdict], unsent: &[Event]) {
        let now = Instant::now();
        for event in unsent {
            self.unsettled.remove(&event.place.id);
        }
        for (event, verdict) in events.iter().zip(verdicts) {
            let id = event.place.id;
            match verdict {
                Verdict::Unknown => {
                    if self.unsettled.remove(&id) {
                        self.unknown.push_back((now, id));
                    }
                }
                // Of several queues some may have taken what the broker nacks.
                Verdict::Published | Verdict::Failed(Refusal::Nacked, _) => (),
                Verdict::Failed(..) | Verdict::Impossible(_) => {
                    self.unsettled.remove(&id);
                }
            }
        }
    }

    pub(crate) fn settled(&mut self, places: &[Place]) {
        for place in places {
            if self.unsettled.remove(&place.id) {
                self.settled.push(place.id);
            }
        }
    }

    /// The events for which a change comes too late that is seen now.
    pub(crate) fn ids(&self) -> Vec<i64> {
        let unknown = self.unknown.iter().map(|(_, id)| id);
        self.unsettled.iter().chain(&self.settled).chain(unknown).copied().collect()
    }

    /// All changes up to now have been compared with [`ids`](Self::ids).
    pub(crate) fn compared(&mut self) {
        self.settled.clear();
        while self.unknown.front().is_some_and(|(since, _)| since.elapsed() >= DOUBT) {
            self.unknown.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::event::tests::event;

    fn sent(ids: &[i64]) -> (Sent, Vec<Event>) {
        let at = |id: &i64| Event { place: Place { id: *id, ..event().place }, ..event() };
        let events: Vec<Event> = ids.iter().map(at).collect();
        let mut sent = Sent::default();
        sent.begin(&events);
        (sent, events)
    }

    #[test]
    fn an_event_counts_as_sent_until_the_first_comparison_after_it_was_settled() {
        let (mut sent, events) = sent(&[1, 2]);
        sent.ended(&events, &[Verdict::Published, Verdict::Published], &[]);
        sent.settled(&[events[0].place]);
        assert_eq!(sent.ids().len(), 2);
        sent.compared();
        assert_eq!(sent.ids(), [2], "confirmed, and not settled yet");
    }

    #[test]
    fn an_event_that_no_queue_took_does_not_count_as_sent() {
        let (mut sent, events) = sent(&[1, 2, 3]);
        let failed = |refusal| Verdict::Failed(refusal, "a reason".to_owned());
        let verdicts =
            [failed(Refusal::Returned), failed(Refusal::Nacked), failed(Refusal::Refused)];
        sent.ended(&events, &verdicts, &[]);
        let places: Vec<Place> = events.iter().map(|event| event.place).collect();
        assert_eq!(sent.ids(), [2], "one of several queues may have it");
        sent.settled(&places);
        assert_eq!(sent.ids(), [2]);
    }

    #[test]
    fn an_event_that_was_lost_with_a_connection_counts_as_sent_for_a_while_and_an_unsent_one_not() {
        let (mut sent, events) = sent(&[1, 2]);
        sent.ended(&events[..1], &[Verdict::Unknown], &events[1..]);
        sent.compared();
        assert_eq!(sent.ids(), [1]);
        let Some(long_ago) = Instant::now().checked_sub(DOUBT) else {
            return;
        };
        sent.unknown[0].0 = long_ago;
        sent.compared();
        assert!(sent.ids().is_empty());
    }
}
