//! Events whose contents were sent to a broker, or are about to be. A change that a person makes
//! now comes too late for them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use crate::publish::event::Event;
use crate::publish::stage::{RunProgress, Stage};
use crate::publish::verdict::{FailureCause, Verdict};
use crate::queue::EventRef;

/// How long an event with an unknown outcome counts as sent. By then it was sent again, if it is
/// still pending.
const DOUBT: Duration = Duration::from_mins(1);

/// How many settled events are kept for the next comparison, the latest ones: more than are settled
/// while a command waits for it. It is put off while the pauses can't be read.
const SETTLED_LIMIT: usize = 1_000_000;

/// The bits of an id by which a command asks about an event: what a lock's key has room for.
pub(crate) const ASKED_BITS: i64 = 0x7fff_ffff;

/// An event as it was sent.
#[derive(Debug, Clone, Copy)]
struct SentContents {
    id: i64,
    /// See [`Event::audit_id`].
    audit_id: i64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// In flight, or confirmed but not settled yet: `audit_id` by `id`.
    unsettled: HashMap<i64, i64>,
    /// Settled since the last comparison with the audit table: a person may have discarded one just
    /// before.
    settled: VecDeque<SentContents>,
    /// Lost with a connection, and since when.
    unknown: VecDeque<(Instant, SentContents)>,
    /// The ids of runs that have not ended: their events count as sent from the start, which is on
    /// the safe side for a change, but each is sent only when the one ahead is confirmed.
    runs: Vec<(Vec<i64>, RunProgress)>,
}

impl Sent {
    pub(crate) fn start<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        for event in events {
            // Of an event that is sent again before its outcome was written, the earlier contents
            // may have arrived as well.
            let earliest = self.unsettled.entry(event.event_ref.id).or_insert(event.audit_id);
            *earliest = event.audit_id.min(*earliest);
        }
    }

    /// The next session may be with a server that has lost audit rows and gives their ids again:
    /// any change may be one that the contents do not include.
    pub(crate) fn session_lost(&mut self) {
        let settled = self.settled.iter_mut().map(|contents| &mut contents.audit_id);
        let unknown = self.unknown.iter_mut().map(|(_, contents)| &mut contents.audit_id);
        for audit_id in self.unsettled.values_mut().chain(settled).chain(unknown) {
            *audit_id = 0;
        }
    }

    /// The same for a run.
    pub(crate) fn start_run(&mut self, events: &[Event], progress: RunProgress) {
        self.start(events);
        self.runs.push((events.iter().map(|event| event.event_ref.id).collect(), progress));
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
        let first = events.first().map(|event| event.event_ref.id);
        self.runs.retain(|(ids, _)| ids.first() != first.as_ref());
        for event in unsent {
            self.unsettled.remove(&event.event_ref.id);
        }
        for (event, verdict) in events.iter().zip(verdicts) {
            let id = event.event_ref.id;
            match verdict {
                Verdict::Unknown => {
                    if let Some(audit_id) = self.unsettled.remove(&id) {
                        self.unknown.push_back((now, SentContents { id, audit_id }));
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

    /// Notes that events are settled, or left to another relay to be settled.
    pub(crate) fn settled(&mut self, event_refs: &[EventRef]) {
        for event_ref in event_refs {
            let id = event_ref.id;
            if let Some(audit_id) = self.unsettled.remove(&id) {
                self.settled.push_back(SentContents { id, audit_id });
            }
        }
        self.settled.drain(..self.settled.len().saturating_sub(SETTLED_LIMIT));
    }

    /// The events for which a change that is seen now comes too late, by id, and the latest audit
    /// row whose change all that was sent of them includes.
    pub(crate) fn audit_ids(&self) -> HashMap<i64, i64> {
        let mut audit_ids = self.unsettled.clone();
        let unknown = self.unknown.iter().map(|(_, contents)| contents);
        for contents in self.settled.iter().chain(unknown) {
            let earliest = audit_ids.entry(contents.id).or_insert(contents.audit_id);
            *earliest = contents.audit_id.min(*earliest);
        }
        audit_ids
    }

    /// How far the events with these ids, modulo [`ASKED_BITS`], have been sent. All are pending.
    pub(crate) fn stages(&self, asked: &[i64]) -> Vec<Stage> {
        let unsent = self.runs.iter().flat_map(|(ids, progress)| ids.iter().skip(progress.sent()));
        let unsent: HashSet<i64> = unsent.copied().collect();
        let mut stages: HashMap<i64, Stage> =
            asked.iter().map(|id| (*id, Stage::NotSent)).collect();
        let in_doubt = self.unknown.iter().map(|(_, contents)| (contents.id, Stage::InDoubt));
        let sent = self.unsettled.keys().filter(|id| !unsent.contains(id));
        let in_flight = sent.map(|id| (*id, Stage::InFlight));
        for (id, stage) in in_doubt.chain(in_flight) {
            stages.entry(id & ASKED_BITS).and_modify(|known| *known = stage);
        }
        asked.iter().map(|id| stages[id]).collect()
    }

    /// Forgets settled events, after all changes up to now were compared with
    /// [`audit_ids`](Self::audit_ids).
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

    fn ids(sent: &Sent) -> Vec<i64> {
        let mut ids: Vec<i64> = sent.audit_ids().into_keys().collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn of_an_event_that_is_sent_again_the_earliest_contents_count() {
        let at = |audit_id| Event { audit_id, ..event() };
        let id = event().event_ref.id;
        let mut sent = Sent::default();
        sent.start(&[at(3)]);
        // Its outcome could not be written.
        sent.start(&[at(4)]);
        assert_eq!(sent.audit_ids(), HashMap::from([(id, 3)]));
        sent.window_ended(&[at(3)], &[Verdict::Unknown], &[]);
        sent.start(&[at(5)]);
        assert_eq!(sent.audit_ids(), HashMap::from([(id, 3)]), "lost with a connection");
        sent.settled(&[event().event_ref]);
        assert_eq!(sent.audit_ids(), HashMap::from([(id, 3)]));
        sent.session_lost();
        assert_eq!(sent.audit_ids(), HashMap::from([(id, 0)]), "ids may be given again");
    }

    #[test]
    fn an_event_counts_as_sent_until_the_first_comparison_after_it_was_settled() {
        let (mut sent, events) = sent(&[1, 2]);
        sent.window_ended(&events, &[Verdict::Published, Verdict::Published], &[]);
        sent.settled(&[events[0].event_ref]);
        assert_eq!(sent.audit_ids().len(), 2);
        sent.mark_compared();
        assert_eq!(ids(&sent), [2], "confirmed, and not settled yet");
    }

    #[test]
    fn of_settled_events_the_latest_are_kept_until_they_are_compared() {
        let mut sent = Sent::default();
        let ids: Vec<i64> = (0..i64::try_from(SETTLED_LIMIT).expect("few") + 10).collect();
        for ids in ids.chunks(100_000) {
            sent.unsettled.extend(ids.iter().map(|id| (*id, 0)));
            let event_refs: Vec<EventRef> =
                ids.iter().map(|id| EventRef { id: *id, key: 0, size: 1 }).collect();
            sent.settled(&event_refs);
        }
        assert_eq!(sent.audit_ids().len(), SETTLED_LIMIT);
        let kept = self::ids(&sent);
        assert_eq!((kept[0], kept.last()), (10, ids.last()));
    }

    #[test]
    fn an_event_that_no_queue_took_does_not_count_as_sent() {
        let (mut sent, events) = sent(&[1, 2, 3]);
        let failed = |cause| Verdict::Failed(cause, "a reason".to_owned());
        let causes = [FailureCause::Returned, FailureCause::Nacked, FailureCause::ChannelClosed];
        let verdicts = causes.map(failed);
        sent.window_ended(&events, &verdicts, &[]);
        let event_refs: Vec<EventRef> = events.iter().map(|event| event.event_ref).collect();
        assert_eq!(ids(&sent), [2], "one of several queues may have it");
        sent.settled(&event_refs);
        assert_eq!(ids(&sent), [2]);
    }

    #[test]
    fn an_event_of_a_run_is_in_flight_once_its_turn_has_come() {
        let (_, events) = sent(&[1, 2, 3]);
        let mut sent = Sent::default();
        let progress = RunProgress::default();
        sent.start_run(&events, progress.clone());
        progress.advance();
        let asked = [1, 2, 4];
        assert_eq!(sent.stages(&asked), [Stage::InFlight, Stage::NotSent, Stage::NotSent]);
        progress.advance();
        assert_eq!(sent.stages(&asked), [Stage::InFlight, Stage::InFlight, Stage::NotSent]);
        let verdicts = [Verdict::Published, Verdict::Unknown];
        sent.window_ended(&events[..2], &verdicts, &events[2..]);
        assert_eq!(sent.stages(&asked), [Stage::InFlight, Stage::InDoubt, Stage::NotSent]);
        sent.settled(&[events[0].event_ref]);
        // Sent once more.
        sent.start(&events[1..2]);
        assert_eq!(sent.stages(&asked), [Stage::NotSent, Stage::InFlight, Stage::NotSent]);
    }

    #[test]
    fn a_question_names_the_lower_bits_of_an_id() {
        let id = (5 << 31) + 7;
        let (sent, _) = sent(&[id]);
        assert_eq!(sent.stages(&[7, 8]), [Stage::InFlight, Stage::NotSent]);
        let (sent, _) = self::sent(&[-1]);
        assert_eq!(sent.stages(&[ASKED_BITS]), [Stage::InFlight]);
    }

    #[test]
    fn an_event_that_was_lost_with_a_connection_counts_as_sent_for_a_while_and_an_unsent_one_not() {
        let (mut sent, events) = sent(&[1, 2]);
        sent.window_ended(&events[..1], &[Verdict::Unknown], &events[1..]);
        sent.mark_compared();
        assert_eq!(ids(&sent), [1]);
        let Some(long_ago) = Instant::now().checked_sub(DOUBT) else {
            return;
        };
        sent.unknown[0].0 = long_ago;
        sent.mark_compared();
        assert!(sent.audit_ids().is_empty());
    }
}
