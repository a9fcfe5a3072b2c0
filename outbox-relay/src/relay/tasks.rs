//! What runs beside the loop: statements that settle, and connections that are opened.

use std::sync::Arc;
use std::time::Instant;

use super::Relay;
use crate::broker::Broker;
use crate::config::Retention;
use crate::database::{Database, DatabaseError, SettleSession};
use crate::metrics;
use crate::publish::Published;
use crate::settle::batch::SettleAction;
use crate::settle::schedule::{LaneOwnership, SettleJob, SettleWhen};
use crate::settle::{SettleResult, settle, settle_again};

/// A task that has ended.
#[derive(Debug)]
pub(super) enum Completion {
    /// A window or a run was sent.
    Published(Published),
    /// Outcomes were written.
    Settled(SettleResult),
    /// Events that could not be settled before were tried again.
    SettledAgain(SettleResult),
    /// The session that settles was opened again, or could not be.
    SettleSession(Result<SettleSession, DatabaseError>),
}

impl Relay {
    /// Begins to settle events, if it is time.
    pub(super) fn begin_settling(&mut self) {
        let Some(database) = self.database.get() else {
            return;
        };
        if database.settle.session.is_closed() {
            return;
        }
        let when = if self.tasks.is_empty() { SettleWhen::AtOnce } else { SettleWhen::Gathered };
        let ownership = if database.session.is_alive() {
            LaneOwnership::Certain
        } else {
            LaneOwnership::Doubtful
        };
        let Some(job) = self.engine.settling.next(when, ownership, Instant::now()) else {
            return;
        };
        let session = Arc::clone(&database.settle);
        let published = match self.config.retention.outbox_retention {
            Retention::None => SettleAction::DeletePublished,
            Retention::For(_) | Retention::Unlimited => SettleAction::MarkPublished,
        };
        self.tasks.spawn(async move {
            match job {
                SettleJob::New(batch) => {
                    let begun = Instant::now();
                    let settled = settle(session, batch, published).await;
                    metrics::settled(begun.elapsed());
                    Completion::Settled(settled)
                }
                SettleJob::Retry(events) => {
                    Completion::SettledAgain(settle_again(session, events, published).await)
                }
            }
        });
    }

    /// Opens another session to settle events, if that one is lost. The lanes stay: the other
    /// session holds them.
    pub(super) fn reopen_settle_session(&mut self) {
        let is_lost = |database: &mut Database| database.settle.session.is_closed();
        if self.is_reopening || !self.database.get().is_some_and(is_lost) {
            return;
        }
        self.is_reopening = true;
        let pause = self.reopen_backoff.next_delay();
        let (config, stop) = (self.config.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let reopen = async {
                tokio::time::sleep(pause).await;
                let (url, table) = (config.database.url(), &config.outbox.outbox_table);
                SettleSession::reopen(url, table).await
            };
            let session = stop.run_until_cancelled(reopen).await;
            Completion::SettleSession(session.unwrap_or(Err(DatabaseError::Silent)))
        });
    }

    pub(super) fn connect_database(&mut self) {
        let config = self.config.clone();
        self.database.connect(async move { Database::connect(&config).await });
    }

    pub(super) fn connect_broker(&mut self) {
        let (url, topology) = (self.config.broker.url().clone(), self.topology.clone());
        let channels = self.config.relay.relay_channels;
        self.broker.connect(async move { Broker::connect(&url, topology, channels).await });
    }
}
