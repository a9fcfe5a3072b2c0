//! When outcomes are noted: one statement at a time, beside the turns. While one commit is under way the next outcomes gather.

use std::time::{Duration, Instant};

use service_kit::backoff::Backoff;

use crate::database::DatabaseError;
use crate::lanes::{LaneSet, lane};
use crate::queue::Place;
use crate::settle::Settled;
use crate::settle::batch::{Item, Settlement};
use crate::settle::unsettled::{self, Unsettled, UnsettledEvents};

/// While windows are in flight anyway, outcomes gather for this long, unless they are many: a commit for each event of a busy
/// aggregate would cost the database, and the service whose it is, more than it is worth.
const GATHER: Duration = Duration::from_millis(10);
const MANY: usize = 100;

/// Outcomes that wait to be noted after which nothing further is sent.
const FULL: usize = 20_000;

/// Outcomes to be noted by one statement of each kind.
#[derive(Debug)]
pub(crate) enum Batch {
    New(Settlement),
    /// Those of events that could not be settled before.
    Again(Vec<Unsettled>),
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Settling {
    waiting: Settlement,
    since: Instant,
    is_under_way: bool,
    /// Events whose rows can't be changed.
    pub(crate) unsettled: UnsettledEvents,
    /// Why no outcome at all can be noted.
    trouble: Option<String>,
    backoff: Backoff,
    not_before: Instant,
}

impl Settling {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            waiting: Settlement::default(),
            since: now,
            is_under_way: false,
            unsettled: UnsettledEvents::new(now),
            trouble: None,
            backoff: Backoff::reconnect(),
            not_before: now,
        }
    }

    /// Where outcomes are added.
    pub(crate) fn waiting(&mut self, now: Instant) -> &mut Settlement {
        if self.waiting.is_empty() {
            self.since = now;
        }
        &mut self.waiting
    }

    /// Outcomes that wait.
    pub(crate) const fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether all is noted that can be.
    pub(crate) const fn is_done(&self) -> bool {
        self.waiting.is_empty() && !self.is_under_way
    }

    /// Why nothing further should be sent, if so: too much waits, or nothing can be noted.
    pub(crate) fn trouble(&self) -> Option<String> {
        if let Some(trouble) = &self.trouble {
            return Some(trouble.clone());
        }
        if self.unsettled.len() >= unsettled::FULL {
            return self.unsettled.note();
        }
        (self.waiting.len() >= FULL).then(|| {
            format!("the outcomes of {} events wait to be noted in the outbox", self.waiting.len())
        })
    }

    /// When the next statement is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.is_under_way {
            return None;
        }
        let waiting = (!self.waiting.is_empty()).then(|| self.since + GATHER);
        let due = waiting.into_iter().chain(self.unsettled.due()).min();
        due.map(|due| due.max(self.not_before))
    }

    /// What to note now, if it is time: at once when nothing else `is_in_flight`. While it is not certain that the session `owns` its
    /// lanes, nothing that changes which events the table holds back. [`ended`](Self::ended) has to follow.
    pub(crate) fn next(&mut self, is_in_flight: bool, owns: bool, now: Instant) -> Option<Batch> {
        if self.is_under_way || now < self.not_before {
            return None;
        }
        let gathers = is_in_flight && self.waiting.len() < MANY;
        let is_due = !self.waiting.is_empty() && (!gathers || now >= self.since + GATHER);
        let batch = match is_due {
            true if owns => Batch::New(std::mem::take(&mut self.waiting)),
            true => Batch::New(self.waiting.take_if(|item| !item.changes_what_is_held_back())),
            false if owns && self.unsettled.due().is_some_and(|due| now >= due) => {
                Batch::Again(self.unsettled.take())
            }
            false => return None,
        };
        if let Batch::New(settlement) = &batch
            && settlement.is_empty()
        {
            return None;
        }
        self.is_under_way = true;
        Some(batch)
    }

    /// Forgets outcomes of events whose lanes are not among those that are `owned`, if noting them would change which events the table
    /// holds back: failures, and successes of events that failed before. The relay that owns the lane by now may have gone past those
    /// behind the event; it sends the event itself. Returns the events that waited to be settled, and those that could not be.
    pub(crate) fn leave_to_owners(&mut self, owned: LaneSet) -> (Vec<Place>, Vec<Place>) {
        let is_left =
            |item: &Item| item.changes_what_is_held_back() && !owned.has(lane(item.place.key));
        let Settlement { published, failed } = self.waiting.take_if(is_left);
        let waiting = published.into_iter().chain(failed).map(|item| item.place);
        (waiting.collect(), self.unsettled.take_if(is_left))
    }

    /// A statement has ended; what it did not try is tried again.
    pub(crate) fn ended(&mut self, settled: &mut Settled, now: Instant) {
        self.is_under_way = false;
        match &settled.result {
            Ok(()) => {
                self.trouble = None;
                self.backoff.reset();
            }
            Err(error) => {
                if let DatabaseError::CannotSettle(_) = error {
                    self.trouble = Some(error.to_string());
                }
                self.not_before = now + self.backoff.next_delay();
            }
        }
        self.waiting(now).append(std::mem::take(&mut settled.left));
    }
}
