//! Events whose outcome is known while their rows can't be changed: somebody holds a row's lock, or the database refuses to change
//! it. They are kept here and tried again. What the broker has confirmed is noted in the table `outbox_unsettled` besides, so that
//! neither another relay nor this one after a restart publishes it again. A failed attempt needs no note: whoever takes over tries
//! the event again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use metrics::{describe_gauge, gauge};
use service_kit::backoff::Backoff;
use uuid::Uuid;

use crate::database::SettleSession;
use crate::database::queries;
use crate::lanes::{LaneSet, lane};
use crate::queue::Place;
use crate::settle::batch::Item;

const UNSETTLED: &str = "outbox_relay_unsettled_events";

/// Names the metric, so that it is there from the start.
pub(crate) fn describe() {
    describe_gauge!(
        UNSETTLED,
        "Events whose outcome is known and can't be written into their rows, as these are locked or may not be changed"
    );
    gauge!(UNSETTLED).set(0);
}

/// Events after which nothing further is published: so many are no fault of single rows.
pub(crate) const FULL: usize = 10_000;

/// Events that are tried again at a time.
const ROUND: usize = 500;

/// Waits between tries.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Characters of what the database said that are kept.
const REASON_LIMIT: usize = 500;

/// What keeps a row from being settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// Another session holds its lock.
    Locked,
    /// The database refuses to change it, and says why.
    Refused(String),
}

impl Hindrance {
    /// The database said that it changed nothing, and the event is as pending as before.
    pub(crate) fn unchanged() -> Self {
        Self::Refused("a trigger or a row-level policy keeps the row from being changed".to_owned())
    }

    /// A hindrance as `outbox_unsettled` has it.
    pub(crate) fn read(kind: &str, reason: Option<String>) -> Self {
        if kind == "locked" { Self::Locked } else { Self::Refused(reason.unwrap_or_default()) }
    }

    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Refused(_) => "refused",
        }
    }

    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::Locked => None,
            Self::Refused(said) => {
                Some(said.chars().filter(|&c| c != '\0').take(REASON_LIMIT).collect())
            }
        }
    }
}

/// An event whose outcome is known, and what keeps it from being written into its row.
#[derive(Debug, Clone)]
pub(crate) struct Unsettled {
    pub(crate) item: Item,
    pub(crate) hindrance: Hindrance,
    /// Whether the table `outbox_unsettled` has it.
    pub(crate) is_noted: bool,
}

impl Unsettled {
    pub(crate) const fn new(item: Item, hindrance: Hindrance) -> Self {
        Self { item, hindrance, is_noted: false }
    }

    const fn is_published(&self) -> bool {
        self.item.failure.is_none()
    }
}

/// Notes those that the broker has confirmed and that are not noted yet. `known`: what was known of them before.
pub(crate) async fn note(
    session: &SettleSession,
    unsettled: &mut [Unsettled],
    known: &[Unsettled],
) {
    let noted: HashMap<Uuid, &Hindrance> = known
        .iter()
        .filter(|one| one.is_noted)
        .map(|one| (one.item.event_id, &one.hindrance))
        .collect();
    let mut new = Vec::new();
    for one in unsettled.iter_mut().filter(|one| one.is_published()) {
        let before = noted.get(&one.item.event_id);
        one.is_noted = before.is_some();
        if before.is_none_or(|before| **before != one.hindrance) {
            new.push(one);
        }
    }
    if new.is_empty() {
        return;
    }
    match queries::note_unsettled(session, new.iter().map(|one| &**one)).await {
        Ok(()) => new.iter_mut().for_each(|one| one.is_noted = true),
        Err(error) => tracing::warn!(
            events = new.len(),
            %error,
            "confirmed events can neither be settled nor noted in outbox_unsettled: a restart now would publish them again"
        ),
    }
}

/// The events of this relay that can't be settled, and when to try again.
#[derive(Debug)]
pub(crate) struct UnsettledEvents {
    waiting: VecDeque<Unsettled>,
    /// Those that are being tried.
    tried: Vec<Unsettled>,
    due: Instant,
    backoff: Backoff,
}

impl UnsettledEvents {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            tried: Vec::new(),
            due: now,
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.tried.len()
    }

    /// When to try again, if there is anything to be tried.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.waiting.is_empty() && self.tried.is_empty()).then_some(self.due)
    }

    /// Adds events that could not be settled.
    pub(crate) fn add(&mut self, unsettled: Vec<Unsettled>, now: Instant) {
        if unsettled.is_empty() {
            return;
        }
        self.backoff.reset();
        self.due = now + self.backoff.next_delay();
        self.waiting.extend(unsettled);
        self.report();
    }

    /// Adds what was noted, by this relay or by another, as far as it is new.
    pub(crate) fn add_noted(&mut self, mut noted: Vec<Unsettled>, now: Instant) {
        let known: HashSet<Uuid> = self.all().map(|one| one.item.event_id).collect();
        noted.retain(|one| !known.contains(&one.item.event_id));
        self.add(noted, now);
    }

    /// Tries again at once.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.due = now;
    }

    fn all(&self) -> impl Iterator<Item = &Unsettled> {
        self.waiting.iter().chain(&self.tried)
    }

    /// Those to be tried now.
    pub(crate) fn take(&mut self) -> Vec<Unsettled> {
        let count = self.waiting.len().min(ROUND);
        self.tried = self.waiting.drain(..count).collect();
        self.tried.clone()
    }

    /// Those that were taken have been tried, and these could not be settled again.
    pub(crate) fn tried(&mut self, unsettled: Vec<Unsettled>, now: Instant) {
        if unsettled.len() < self.tried.len() {
            self.backoff.reset();
        }
        self.tried.clear();
        self.due = now + self.backoff.next_delay();
        self.waiting.extend(unsettled);
        self.report();
    }

    /// Those events of some lanes for which the rest of their aggregate waits: all but failed ones, which hold it back anyway, unless
    /// what is stuck is skipped.
    pub(crate) fn held(&self, lanes: LaneSet, stuck_holds: bool) -> Vec<Place> {
        let is_held = |one: &&Unsettled| match &one.item.failure {
            Some(failure) => failure.retry_in.is_none() && !stuck_holds,
            None => true,
        };
        let of_lanes = self.all().filter(|one| lanes.has(lane(one.item.place.key)));
        of_lanes.filter(is_held).map(|one| one.item.place).collect()
    }

    /// Leaves to other relays what is not of the lanes `kept` and is noted where they find it.
    pub(crate) fn keep(&mut self, kept: LaneSet) {
        self.waiting.retain(|one| kept.has(lane(one.item.place.key)) || !one.is_noted);
        self.report();
    }

    /// Removes those that wait and for which `is_taken` says yes.
    pub(crate) fn take_if(&mut self, is_taken: impl Fn(&Item) -> bool) -> Vec<Place> {
        let (mut taken, mut kept) = (Vec::new(), VecDeque::new());
        for one in self.waiting.drain(..) {
            if is_taken(&one.item) {
                taken.push(one.item.place);
            } else {
                kept.push_back(one);
            }
        }
        self.waiting = kept;
        self.report();
        taken
    }

    /// A sentence for people, when there are any.
    pub(crate) fn note(&self) -> Option<String> {
        let count = self.len();
        let example = self.all().next()?;
        let why = match &example.hindrance {
            Hindrance::Locked => "another session holds the row's lock".to_owned(),
            Hindrance::Refused(said) => format!("the database refuses to change the row: {said}"),
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
    use crate::settle::batch::Failure;

    fn unsettled(key: i64, is_noted: bool) -> Unsettled {
        let place = Place { id: key, key, size: 1 };
        let item = Item {
            place,
            event_id: Uuid::from_u128(key.unsigned_abs().into()),
            attempts: 0,
            failure: None,
        };
        Unsettled { is_noted, ..Unsettled::new(item, Hindrance::Locked) }
    }

    #[test]
    fn what_was_tried_in_vain_is_tried_again_later_and_what_is_settled_is_not() {
        let mut events = UnsettledEvents::new(Instant::now());
        assert_eq!(events.due(), None);
        events.add(vec![unsettled(1, true), unsettled(2, true)], Instant::now());
        assert!(events.due().is_some());
        let round = events.take();
        assert_eq!((round.len(), events.len(), events.due()), (2, 2, None));
        events.tried(vec![unsettled(2, true)], Instant::now());
        assert_eq!(events.len(), 1);
        events.take();
        events.tried(Vec::new(), Instant::now());
        assert_eq!((events.len(), events.due(), events.note()), (0, None, None));
    }

    #[test]
    fn what_nobody_else_knows_of_is_kept_when_its_lane_goes() {
        let mut events = UnsettledEvents::new(Instant::now());
        events
            .add(vec![unsettled(1, true), unsettled(2, false), unsettled(3, true)], Instant::now());
        events.keep(LaneSet(1 << 3));
        let kept: Vec<i64> = events.waiting.iter().map(|one| one.item.place.key).collect();
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
        refused.hindrance = Hindrance::Refused("this event is under audit".to_owned());
        refused.item.failure = Some(Failure { reason: String::new(), retry_in: None });
        events.add(vec![refused], Instant::now());
        let note = events.note().expect("one is there");
        assert!(note.starts_with("1 event can't") && note.ends_with("under audit"), "{note}");
    }
}
