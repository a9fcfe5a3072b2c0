//! The events of this relay that can't be settled for now, and when to try again.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use metrics::{describe_gauge, gauge};
use service_kit::backoff::Backoff;
use uuid::Uuid;

use crate::database::queries::BlockingPolicy;
use crate::lanes::{LaneSet, lane};
use crate::queue::EventRef;
use crate::settle::batch::SettleItem;
use crate::settle::unsettled::{SettleError, UnsettledEvent};

const UNSETTLED: &str = "outbox_relay_unsettled_events";

/// Registers the metric, so that it is there from the start.
pub(crate) fn describe() {
    describe_gauge!(
        UNSETTLED,
        "Events whose outcome is known and can't be written into their rows, as these are locked or may not be changed"
    );
    gauge!(UNSETTLED).set(0);
}

/// With so many events nothing further is published: single rows are not to blame.
pub(crate) const FULL: usize = 10_000;

/// Events that are tried again at a time.
const ROUND: usize = 500;

/// Waits between tries.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// The events of this relay that can't be settled, and when to try again.
#[derive(Debug)]
pub(crate) struct UnsettledEvents {
    waiting: VecDeque<UnsettledEvent>,
    /// Those that are being tried.
    retrying: Vec<UnsettledEvent>,
    due: Instant,
    backoff: Backoff,
}

impl UnsettledEvents {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            retrying: Vec::new(),
            due: now,
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.retrying.len()
    }

    /// When to try again, if there is anything to be tried.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.waiting.is_empty() && self.retrying.is_empty()).then_some(self.due)
    }

    /// Adds events that could not be settled.
    pub(crate) fn add(&mut self, unsettled: Vec<UnsettledEvent>, now: Instant) {
        if unsettled.is_empty() {
            return;
        }
        self.backoff.reset();
        self.due = now + self.backoff.next_delay();
        self.waiting.extend(unsettled);
        self.report();
    }

    /// Adds the events of `outbox_unsettled`, noted by this relay or by another, as far as they are
    /// new.
    pub(crate) fn add_noted(&mut self, mut noted: Vec<UnsettledEvent>, now: Instant) {
        let known: HashSet<Uuid> = self.all().map(|event| event.item.event_id).collect();
        noted.retain(|event| !known.contains(&event.item.event_id));
        self.add(noted, now);
    }

    /// Makes the next try due at once.
    pub(crate) fn retry_now(&mut self, now: Instant) {
        self.due = now;
    }

    fn all(&self) -> impl Iterator<Item = &UnsettledEvent> {
        self.waiting.iter().chain(&self.retrying)
    }

    /// Takes events to try them now; [`retried`](Self::retried) has to follow.
    pub(crate) fn take(&mut self) -> Vec<UnsettledEvent> {
        let count = self.waiting.len().min(ROUND);
        self.retrying = self.waiting.drain(..count).collect();
        self.retrying.clone()
    }

    /// Puts back those of the taken events that could not be settled again.
    pub(crate) fn retried(&mut self, unsettled: Vec<UnsettledEvent>, now: Instant) {
        if unsettled.len() < self.retrying.len() {
            self.backoff.reset();
        }
        self.retrying.clear();
        self.due = now + self.backoff.next_delay();
        self.waiting.extend(unsettled);
        self.report();
    }

    /// The events of some lanes that the rest of their aggregate waits for: all but failed ones,
    /// which hold it back anyway unless stuck events are skipped.
    pub(crate) fn blocking(&self, lanes: LaneSet, policy: BlockingPolicy) -> Vec<EventRef> {
        let is_blocking = |event: &&UnsettledEvent| match &event.item.failure {
            Some(failure) => !policy.holds_back(failure.disposition()),
            None => true,
        };
        let of_lanes = self.all().filter(|event| lanes.has(lane(event.item.event_ref.key)));
        of_lanes.filter(is_blocking).map(|event| event.item.event_ref).collect()
    }

    /// Drops the noted events of other lanes than `kept`, and returns them: the relays that own
    /// these find the notes.
    pub(crate) fn retain_lanes(&mut self, kept: LaneSet) -> Vec<EventRef> {
        self.drop_if(|event| event.is_noted && !kept.has(lane(event.item.event_ref.key)))
    }

    /// Removes the waiting events for which `is_taken` returns true.
    pub(crate) fn take_if(&mut self, is_taken: impl Fn(&SettleItem) -> bool) -> Vec<EventRef> {
        self.drop_if(|event| is_taken(&event.item))
    }

    fn drop_if(&mut self, is_dropped: impl Fn(&UnsettledEvent) -> bool) -> Vec<EventRef> {
        let (mut taken, mut kept) = (Vec::new(), VecDeque::new());
        for event in self.waiting.drain(..) {
            if is_dropped(&event) {
                taken.push(event.item.event_ref);
            } else {
                kept.push_back(event);
            }
        }
        self.waiting = kept;
        self.report();
        taken
    }

    /// A sentence for people, if there are any events.
    pub(crate) fn summary(&self) -> Option<String> {
        let count = self.len();
        let example = self.all().next()?;
        let why = match &example.error {
            SettleError::Locked => "another session holds the row's lock".to_owned(),
            SettleError::Refused(said) => format!("the database refuses to change the row: {said}"),
        };
        let who = if count == 1 {
            "1 event can't be settled, and its aggregate waits".to_owned()
        } else {
            format!("{count} events can't be settled, and their aggregates wait")
        };
        Some(format!("{who}: event {}, for example: {why}", example.item.event_id))
    }

    fn report(&self) {
        gauge!(UNSETTLED).set(u32::try_from(self.len()).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::ErrorKind;
    use crate::settle::batch::Failure;

    fn unsettled(key: i64, is_noted: bool) -> UnsettledEvent {
        let event_ref = EventRef { id: key, key, size: 1 };
        let item = SettleItem {
            event_ref,
            event_id: Uuid::from_u128(key.unsigned_abs().into()),
            attempts: 0,
            failure: None,
        };
        UnsettledEvent { is_noted, ..UnsettledEvent::new(item, SettleError::Locked) }
    }

    #[test]
    fn what_was_tried_in_vain_is_tried_again_later_and_what_is_settled_is_not() {
        let mut events = UnsettledEvents::new(Instant::now());
        assert_eq!(events.due(), None);
        events.add(vec![unsettled(1, true), unsettled(2, true)], Instant::now());
        assert!(events.due().is_some());
        let round = events.take();
        assert_eq!((round.len(), events.len(), events.due()), (2, 2, None));
        events.retried(vec![unsettled(2, true)], Instant::now());
        assert_eq!(events.len(), 1);
        events.take();
        events.retried(Vec::new(), Instant::now());
        assert_eq!((events.len(), events.due(), events.summary()), (0, None, None));
    }

    #[test]
    fn what_nobody_else_knows_of_is_kept_when_its_lane_goes() {
        let mut events = UnsettledEvents::new(Instant::now());
        events
            .add(vec![unsettled(1, true), unsettled(2, false), unsettled(3, true)], Instant::now());
        events.retain_lanes(LaneSet(1 << 3));
        let kept: Vec<i64> = events.waiting.iter().map(|event| event.item.event_ref.key).collect();
        assert_eq!(kept, [2, 3]);
    }

    #[test]
    fn a_round_is_bounded() {
        let mut events = UnsettledEvents::new(Instant::now());
        events.add((0..2000).map(|key| unsettled(key, true)).collect(), Instant::now());
        assert_eq!(events.take().len(), ROUND);
        assert_eq!(events.len(), 2000);
    }

    #[test]
    fn people_are_told_of_an_example() {
        let mut events = UnsettledEvents::new(Instant::now());
        let mut refused = unsettled(1, true);
        refused.error = SettleError::Refused("this event is under audit".to_owned());
        refused.item.failure =
            Some(Failure { kind: ErrorKind::Returned, reason: String::new(), retry_in: None });
        events.add(vec![refused], Instant::now());
        let note = events.summary().expect("one is there");
        assert!(note.starts_with("1 event can't") && note.ends_with("under audit"), "{note}");
    }
}
