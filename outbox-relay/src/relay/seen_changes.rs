//! Acknowledges the changes that people make, so that a command returns only when no relay will
//! send an event as it was before.
//!
//! Each change leaves a row in the audit table. A relay that sees the row drops what it has
//! prefetched, and then takes an advisory lock with the row's id (lock 67), in the session that
//! owns its lanes. As ids grow in commit order, the latest one stands for all before it; the lock
//! that the same session holds for the table (64) says which table it is about. For an event that
//! had been sent already the relay first takes lock 68, with the id of its audit row.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use service_kit::health::Health;
use service_kit::postgres::reason;

use super::answers::Answers;
use super::engine::Engine;
use super::pauses::{PauseKnowledge, PauseReader};
use crate::database::queries::{self, Audited};
use crate::database::{Database, DatabaseError};
use crate::publish::dispatcher::Dispatcher;

/// Least time between two reads of the audit table.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// How long it is reported to commands that an event was in flight: longer than they wait.
const REPORT_FOR: Duration = Duration::from_secs(30);

/// Events that are reported at the same time. A session that holds one lock more stands for "and
/// others".
pub(crate) const MAX_REPORTED: usize = 500;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct SeenChanges {
    /// When the audit table was read last.
    checked_at: Option<Instant>,
    /// The latest audit row that was compared with what had been sent; it outlives the session.
    seen: Option<i64>,
    /// The one that this session has acknowledged.
    acknowledged: Option<i64>,
    /// Audit rows of events that were in flight, and since when they are reported.
    reported: VecDeque<(Instant, Vec<i64>)>,
    /// The one that the database did not let this session acknowledge.
    refused: Option<i64>,
    /// What commands that ask about events were answered.
    answers: Answers,
}

impl SeenChanges {
    /// The session is gone, and its locks with it.
    pub(crate) fn lose_session(&mut self) {
        self.acknowledged = None;
        self.checked_at = None;
        self.answers.lose_session();
    }

    /// Reads the audit table, if it is time, answers commands that ask about events, and
    /// acknowledges new changes. If the database refuses that, commands name this relay, and it
    /// goes on.
    pub(super) async fn check(
        &mut self,
        database: &mut Database,
        engine: &mut Engine,
        pauses: &mut PauseReader,
        health: &Health,
    ) -> Result<(), DatabaseError> {
        if self.checked_at.is_some_and(|checked_at| checked_at.elapsed() < CHECK_EVERY) {
            return Ok(());
        }
        let Audited { latest, is_asked } = queries::latest_audit_id(database).await?;
        self.checked_at = Some(Instant::now());
        self.answers.update(database, &engine.dispatcher.sent, is_asked).await?;
        if self.acknowledged != Some(latest) {
            engine.dispatcher.clear_prefetched();
            // After the row was seen, so that what it tells of is known before it is acknowledged.
            let known = pauses.read_changed(database, engine, health).await?;
            if known == PauseKnowledge::Earlier {
                // The command names this relay.
                return Ok(());
            }
        }
        match self.acknowledge(database, &mut engine.dispatcher, latest).await {
            Err(DatabaseError::Refused(error)) if error.as_db_error().is_some() => {
                if self.refused != Some(latest) {
                    let error = reason(&error);
                    tracing::warn!(
                        error,
                        "a change of events could not be confirmed to the command that made it"
                    );
                }
                self.refused = Some(latest);
                Ok(())
            }
            other => other,
        }
    }

    async fn acknowledge(
        &mut self,
        database: &Database,
        dispatcher: &mut Dispatcher,
        latest: i64,
    ) -> Result<(), DatabaseError> {
        if self.acknowledged != Some(latest) {
            self.report_in_flight(database, dispatcher, latest).await?;
            queries::acknowledge_audit(database, latest, self.acknowledged).await?;
            (self.seen, self.acknowledged) = (Some(latest), Some(latest));
        }
        dispatcher.sent.mark_compared();
        self.forget_reported(database).await
    }

    async fn report_in_flight(
        &mut self,
        database: &Database,
        dispatcher: &Dispatcher,
        latest: i64,
    ) -> Result<(), DatabaseError> {
        if self.acknowledged.is_none() {
            // Commands may still wait for what was reported in an earlier session.
            let reported: Vec<i64> =
                self.reported.iter().flat_map(|(_, ids)| ids).copied().collect();
            if !reported.is_empty() {
                queries::lock_in_flight(database, &reported).await?;
            }
        }
        let (sent, seen) = (dispatcher.sent.audit_ids(), self.seen.unwrap_or(latest));
        let reported: usize = self.reported.iter().map(|(_, ids)| ids.len()).sum();
        let most = i64::try_from((MAX_REPORTED + 1).saturating_sub(reported)).unwrap_or(0);
        if sent.is_empty() || seen >= latest || most == 0 {
            return Ok(());
        }
        let overtaken = queries::find_overtaken(database, seen, latest, &sent, most).await?;
        if !overtaken.is_empty() {
            queries::lock_in_flight(database, &overtaken).await?;
            tracing::info!(
                events = overtaken.len(),
                "events that had already been sent were changed or discarded"
            );
            self.reported.push_back((Instant::now(), overtaken));
        }
        Ok(())
    }

    async fn forget_reported(&mut self, database: &Database) -> Result<(), DatabaseError> {
        while let Some((since, audit_ids)) = self.reported.front()
            && since.elapsed() >= REPORT_FOR
        {
            queries::unlock_in_flight(database, audit_ids).await?;
            self.reported.pop_front();
        }
        Ok(())
    }
}
