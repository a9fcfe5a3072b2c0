//! Events whose contents were sent to a broker, or are about to be. A change that a person makes
//! now comes too late for them.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::publish::event::Event;
use crate::publish::verdict::{FailureCause, Verdict};
use crate::queue::EventRef;

/// How long an event with an unknown outcome counts as sent. By then it was sent again, if it is
/// still pending.
const DOUBT: Duration = Duration::from_mins(1);

/// See the [module](self). All are ids.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// In flight, or confirmed but not settled yet.
    unsettled: HashSet<i64>,
    /// Settled since the last comparison with the audit table: a person may have discarded one just
    /// before.
    settled: Vec<i64>,
    /// Lost with a connection, and since when.
    unknown: VecDeque<(Instant, i64)>,
}

impl Sent {
    pub(crate) fn start<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        self.unsettled.extend(events.into_iter().map(|event| event.event_ref.id));
    }

    /// Notes how a window ended: one verdict for each of `events`; `unsent` were not sent after
    /// all.
    pub(crate) fn window_ended(
        &mut self,
        events: &[Event],
        verdicts: &[Verdict],
        unsent: &[Event],
    ) {
        let now = Instant::now();
        for event in unsent {
            self.unsettled.remove(&event.event_ref.id);
        }
        for (event, verdict) in events.iter().zip(verdicts) {
            let id = event.event_ref.id;
            match verdict {
                Verdict::Unknown => {
                    if self.unsettled.remove(&id) {
                        self.unknown.push_back((now, id));
                    }
                }
                // Of several queues some may have taken a message that is nacked.
                Verdict::Published | Verdict::Failed(FailureCause::Nacked, _) => (),
                Verdict::Failed(..) | Verdict::Unpublishable(_) => {
                    self.unsettled.remove(&id);
                }
            }
        }
    }

    pub(crate) fn settled(&mut self, event_refs: &[EventRef]) {
        for event_ref in event_refs {
            if self.unsettled.remove(&event_ref.id) {
                self.settled.push(event_ref.id);
            }
        }
    }

    /// The events for which a change that is seen now comes too late.
    pub(crate) fn ids(&self) -> Vec<i64> {
        let unknown = self.unknown.iter().map(|(_, id)| id);
        self.unsettled.iter().chain(&self.settled).chain(unknown).copied().collect()
    }

    /// Forgets settled events, after all changes up to now were compared with [`ids`](Self::ids).
    pub(crate) fn mark_compared(&mut self) {
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
        let at =
            |id: &i64| Event { event_ref: EventRef { id: *id, ..event().event_ref }, ..event() };
        let events: Vec<Event> = ids.iter().map(at).collect();
        let mut sent = Sent::default();
        sent.start(&events);
        (sent, events)
    }

    #[test]
    fn an_event_counts_as_sent_until_the_first_comparison_after_it_was_settled() {
        let (mut sent, events) = sent(&[1, 2]);
        sent.window_ended(&events, &[Verdict::Published, Verdict::Published], &[]);
        sent.settled(&[events[0].event_ref]);
        assert_eq!(sent.ids().len(), 2);
        sent.mark_compared();
        assert_eq!(sent.ids(), [2], "confirmed, and not settled yet");
    }

    #[test]
    fn an_event_that_no_queue_took_does_not_count_as_sent() {
        let (mut sent, events) = sent(&[1, 2, 3]);
        let failed = |cause| Verdict::Failed(cause, "a reason".to_owned());
        let causes = [FailureCause::Returned, FailureCause::Nacked, FailureCause::ChannelClosed];
        let verdicts = causes.map(failed);
        sent.window_ended(&events, &verdicts, &[]);
        let event_refs: Vec<EventRef> = events.iter().map(|event| event.event_ref).collect();
        assert_eq!(sent.ids(), [2], "one of several queues may have it");
        sent.settled(&event_refs);
        assert_eq!(sent.ids(), [2]);
    }

    #[test]
    fn an_event_that_was_lost_with_a_connection_counts_as_sent_for_a_while_and_an_unsent_one_not() {
        let (mut sent, events) = sent(&[1, 2]);
        sent.window_ended(&events[..1], &[Verdict::Unknown], &events[1..]);
        sent.mark_compared();
        assert_eq!(sent.ids(), [1]);
        let Some(long_ago) = Instant::now().checked_sub(DOUBT) else {
            return;
        };
        sent.unknown[0].0 = long_ago;
        sent.mark_compared();
        assert!(sent.ids().is_empty());
    }
}
