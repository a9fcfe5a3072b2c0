//! When events are settled: one statement at a time, beside the loop. While one commit is under way
//! the next outcomes gather.

use std::time::{Duration, Instant};

use service_kit::backoff::Backoff;

use crate::database::DatabaseError;
use crate::lanes::{LaneSet, lane};
use crate::queue::EventRef;
use crate::settle::SettleResult;
use crate::settle::batch::{SettleBatch, SettleItem};
use crate::settle::unsettled::UnsettledEvent;
use crate::settle::unsettled_events::{self, UnsettledEvents};

/// While windows are in flight anyway, outcomes gather for this long: a commit for each event of a
/// busy aggregate would cost the database, and the service that owns it, more than it is worth.
const GATHER: Duration = Duration::from_millis(10);

/// So many outcomes are settled at once.
const GATHER_MAX: usize = 100;

/// With so many outcomes that wait to be written nothing further is sent.
const FULL: usize = 20_000;

/// What to settle next, with one statement of each kind.
#[derive(Debug)]
pub(crate) enum SettleJob {
    New(SettleBatch),
    /// Events that could not be settled before.
    Retry(Vec<UnsettledEvent>),
}

/// When outcomes that are known are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettleWhen {
    /// At once, as nothing else is in flight.
    AtOnce,
    /// With those that follow shortly.
    Gathered,
}

/// Whether the session still owns its lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneOwnership {
    Certain,
    /// The server may have ended the session and with it the locks.
    Doubtful,
}

/// What a statement that is under way settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Running {
    New,
    /// Events that could not be settled before.
    Retry,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct SettleScheduler {
    /// Outcomes that wait to be written.
    waiting: SettleBatch,
    /// When the first of them was added.
    since: Instant,
    /// The statement that is under way.
    running: Option<Running>,
    /// Events whose rows can't be changed.
    pub(crate) unsettled: UnsettledEvents,
    /// Why no event at all can be settled.
    blocked: Option<String>,
    /// Between statements, while none can be settled.
    backoff: Backoff,
    not_before: Instant,
}

impl SettleScheduler {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            waiting: SettleBatch::default(),
            since: now,
            running: None,
            unsettled: UnsettledEvents::new(now),
            blocked: None,
            backoff: Backoff::reconnect(),
            not_before: now,
        }
    }

    /// The batch that the next outcomes are added to.
    pub(crate) fn waiting_mut(&mut self, now: Instant) -> &mut SettleBatch {
        if self.waiting.is_empty() {
            self.since = now;
        }
        &mut self.waiting
    }

    /// How many outcomes wait.
    pub(crate) const fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether all events are settled that can be.
    pub(crate) const fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.running.is_none()
    }

    /// Whether all events are settled that can be, but for those that could not be before.
    pub(crate) fn is_new_done(&self) -> bool {
        self.waiting.is_empty() && self.running != Some(Running::New)
    }

    /// Why nothing further should be sent, if so: too many outcomes wait, or none can be written.
    pub(crate) fn blocked_reason(&self) -> Option<String> {
        if let Some(reason) = &self.blocked {
            return Some(reason.clone());
        }
        if self.unsettled.len() >= unsettled_events::FULL {
            return self.unsettled.summary();
        }
        (self.waiting.len() >= FULL).then(|| {
            format!("the outcomes of {} events wait to be noted in the outbox", self.waiting.len())
        })
    }

    /// When the next statement is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.running.is_some() {
            return None;
        }
        let waiting = (!self.waiting.is_empty()).then(|| self.since + GATHER);
        let due = waiting.into_iter().chain(self.unsettled.due()).min();
        due.map(|due| due.max(self.not_before))
    }

    /// What to settle now, if it is time. While the ownership of the lanes is doubtful, nothing
    /// that changes which events the table holds back. [`ended`](Self::ended) has to follow.
    pub(crate) fn next(
        &mut self,
        when: SettleWhen,
        ownership: LaneOwnership,
        now: Instant,
    ) -> Option<SettleJob> {
        if self.running.is_some() || now < self.not_before {
            return None;
        }
        let gathers = when == SettleWhen::Gathered && self.waiting.len() < GATHER_MAX;
        let is_due = !self.waiting.is_empty() && (!gathers || now >= self.since + GATHER);
        let job = match (ownership, is_due) {
            (LaneOwnership::Certain, true) => SettleJob::New(std::mem::take(&mut self.waiting)),
            (LaneOwnership::Doubtful, true) => {
                SettleJob::New(self.waiting.take_if(|item| !item.changes_what_is_held_back()))
            }
            (LaneOwnership::Certain, false)
                if self.unsettled.due().is_some_and(|due| now >= due) =>
            {
                SettleJob::Retry(self.unsettled.take())
            }
            (_, false) => return None,
        };
        self.running = match &job {
            SettleJob::New(batch) if batch.is_empty() => return None,
            SettleJob::New(_) => Some(Running::New),
            SettleJob::Retry(_) => Some(Running::Retry),
        };
        Some(job)
    }

    /// Drops outcomes of events of other lanes than `owned`, if writing them would change which
    /// events the table holds back: failures, and successes of events that failed before. The relay
    /// that owns the lane by now may have gone past those behind the event, and sends the event
    /// itself. Returns the events that waited to be settled, and those that could not be.
    pub(crate) fn leave_to_owners(&mut self, owned: LaneSet) -> (Vec<EventRef>, Vec<EventRef>) {
        let is_left = |item: &SettleItem| {
            item.changes_what_is_held_back() && !owned.has(lane(item.event_ref.key))
        };
        let SettleBatch { published, failed } = self.waiting.take_if(is_left);
        let waiting = published.into_iter().chain(failed).map(|item| item.event_ref);
        (waiting.collect(), self.unsettled.take_if(is_left))
    }

    /// A statement has ended. What it did not try is tried again.
    pub(crate) fn ended(&mut self, settled: &mut SettleResult, now: Instant) {
        self.running = None;
        match &settled.result {
            Ok(()) => {
                self.blocked = None;
                self.backoff.reset();
            }
            Err(error) => {
                if let DatabaseError::CannotSettle(_) = error {
                    self.blocked = Some(error.to_string());
                }
                self.not_before = now + self.backoff.next_delay();
            }
        }
        self.waiting_mut(now).append(std::mem::take(&mut settled.untried));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::event::tests::event;

    #[test]
    fn nothing_further_is_sent_while_as_many_outcomes_wait_as_may() {
        let now = Instant::now();
        let mut settling = SettleScheduler::new(now);
        for _ in 1..FULL {
            settling.waiting_mut(now).published(&event());
        }
        assert_eq!(settling.blocked_reason(), None);
        settling.waiting_mut(now).published(&event());
        let reason = "the outcomes of 20000 events wait to be noted in the outbox";
        assert_eq!(settling.blocked_reason().as_deref(), Some(reason));
        let Some(SettleJob::New(batch)) =
            settling.next(SettleWhen::AtOnce, LaneOwnership::Certain, now)
        else {
            panic!("nothing is settled")
        };
        assert_eq!((batch.len(), settling.blocked_reason()), (FULL, None));
    }
}
