//! When outcomes are noted: one statement at a time, beside the turns. While one commit is under way the next outcomes gather.

use std::sync::Arc;
use std::time::{Duration, Instant};

use service_kit::backoff::Backoff;
use tokio::task::JoinSet;

use crate::config::{Config, Retention};
use crate::database::{Database, DatabaseError};
use crate::measure;
use crate::relay::Done;
use crate::settle::{Settled, settle, settle_again};
use crate::settlement::Settlement;
use crate::unsettled::{self, UnsettledEvents};

/// While windows are in flight anyway, outcomes gather for this long, unless they are many: a commit for each event of a busy
/// aggregate would cost the database, and the service whose it is, more than it is worth.
const GATHER: Duration = Duration::from_millis(10);
const MANY: usize = 100;

/// Outcomes that wait to be noted after which nothing further is sent.
const FULL: usize = 20_000;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Settling {
    keep: bool,
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
    pub(crate) fn new(config: &Config) -> Self {
        let now = Instant::now();
        Self {
            keep: config.retention.outbox_retention != Retention::None,
            waiting: Settlement::default(),
            since: now,
            is_under_way: false,
            unsettled: UnsettledEvents::default(),
            trouble: None,
            backoff: Backoff::reconnect(),
            not_before: now,
        }
    }

    /// Where outcomes are added.
    pub(crate) fn waiting(&mut self) -> &mut Settlement {
        if self.waiting.is_empty() {
            self.since = Instant::now();
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

    /// Begins a statement, if it is time: at once when nothing else is in flight.
    pub(crate) fn begin(&mut self, database: &Database, tasks: &mut JoinSet<Done>) {
        let now = Instant::now();
        if self.is_under_way || now < self.not_before || database.settle.session.is_closed() {
            return;
        }
        let gathers = !tasks.is_empty() && self.waiting.len() < MANY;
        let is_due = !self.waiting.is_empty() && (!gathers || now >= self.since + GATHER);
        let (session, keep) = (Arc::clone(&database.settle), self.keep);
        if is_due {
            let settlement = std::mem::take(&mut self.waiting);
            tasks.spawn(async move {
                let begun = Instant::now();
                let settled = settle(session, settlement, keep).await;
                measure::settled(begun.elapsed());
                Done::Settled(settled)
            });
        } else if self.unsettled.due().is_some_and(|due| now >= due) {
            let again = self.unsettled.take();
            tasks
                .spawn(async move { Done::SettledAgain(settle_again(session, again, keep).await) });
        } else {
            return;
        }
        self.is_under_way = true;
    }

    /// A statement has ended; what it did not try is tried again.
    pub(crate) fn ended(&mut self, settled: &mut Settled) {
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
                self.not_before = Instant::now() + self.backoff.next_delay();
            }
        }
        self.waiting().append(std::mem::take(&mut settled.left));
    }
}
