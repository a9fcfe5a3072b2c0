//! When outcomes are noted: one statement at a time, beside the turns. While one commit is under way the next outcomes gather.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::config::{Config, Retention};
use crate::database::Database;
use crate::measure;
use crate::relay::Done;
use crate::settle::{Settled, Settlement, settle};

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
    /// The database did not note what it was told last.
    fails: bool,
}

impl Settling {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            keep: config.retention.outbox_retention != Retention::None,
            waiting: Settlement::default(),
            since: Instant::now(),
            is_under_way: false,
            fails: false,
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

    /// Whether all is noted.
    pub(crate) const fn is_done(&self) -> bool {
        self.waiting.is_empty() && !self.is_under_way
    }

    /// Whether nothing further should be sent: too much waits, or what was sent last can't be noted.
    pub(crate) const fn is_stuck(&self) -> bool {
        self.fails || self.waiting.len() >= FULL
    }

    /// Whether the database did not note what it was told last.
    pub(crate) const fn fails(&self) -> bool {
        self.fails
    }

    /// When the next statement is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.waiting.is_empty() && !self.is_under_way).then(|| self.since + GATHER)
    }

    /// Begins a statement, if it is time: at once when nothing else is in flight.
    pub(crate) fn begin(&mut self, database: &Database, tasks: &mut JoinSet<Done>) {
        let gathers = !tasks.is_empty() && self.waiting.len() < MANY;
        if self.due().is_none_or(|due| gathers && Instant::now() < due) {
            return;
        }
        let session = Arc::clone(&database.settle);
        let (settlement, keep) = (std::mem::take(&mut self.waiting), self.keep);
        tasks.spawn(async move {
            let begun = Instant::now();
            let settled = settle(session, settlement, keep).await;
            measure::settled(begun.elapsed());
            Done::Settled(settled)
        });
        self.is_under_way = true;
    }

    /// A statement has ended; what it did not note is tried again.
    pub(crate) fn ended(&mut self, settled: &mut Settled) {
        self.is_under_way = false;
        self.fails = settled.result.is_err();
        self.waiting().append(std::mem::take(&mut settled.left));
    }
}
