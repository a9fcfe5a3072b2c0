//! Confirms to commands what people changed, so that a command returns only when no relay will send an event as it was before.
//!
//! Each change leaves a row in the audit table. The relay that sees the row forgets what it has loaded ahead, and then takes an advisory
//! lock with the row's id: number 67 of the lanes' numbers, in the session that owns its lanes. As ids grow in commit order, the latest one
//! stands for all before it; the table's own lock (64) of the same session says which table it is about. For an event that had been sent
//! already the relay first takes lock 68, with the id of its audit row.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use service_kit::postgres::reason;

use crate::database::queries;
use crate::database::{Database, DatabaseError};
use crate::publish::dispatcher::Dispatcher;

/// Least time between two looks at the audit table.
const EVERY: Duration = Duration::from_millis(100);

/// For how long commands are told that an event was in flight: longer than they wait.
const TOLD: Duration = Duration::from_secs(30);

/// Events of which commands are told at the same time. A session that holds one lock more stands for "and others".
pub(crate) const MOST_TOLD: usize = 500;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Acknowledgements {
    looked: Option<Instant>,
    /// The latest audit row that was compared with what had been sent; it outlives the session.
    seen: Option<i64>,
    /// The one that this session has confirmed.
    confirmed: Option<i64>,
    /// Audit rows of events that were in flight, and since when commands are told.
    told: VecDeque<(Instant, Vec<i64>)>,
    /// The one that the database did not let this session confirm.
    refused: Option<i64>,
}

impl Acknowledgements {
    /// The session is gone, and its locks with it.
    pub(crate) fn lose_session(&mut self) {
        self.confirmed = None;
        self.looked = None;
    }

    /// Looks for changes, if it is time, and confirms them. Where the database refuses that, commands name this relay, and it goes on.
    pub(crate) async fn look(
        &mut self,
        database: &Database,
        dispatcher: &mut Dispatcher,
    ) -> Result<(), DatabaseError> {
        if self.looked.is_some_and(|looked| looked.elapsed() < EVERY) {
            return Ok(());
        }
        let latest = queries::watch_audit(database).await?;
        self.looked = Some(Instant::now());
        if self.confirmed != Some(latest) {
            dispatcher.forget_ahead();
        }
        match self.confirm(database, dispatcher, latest).await {
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

    async fn confirm(
        &mut self,
        database: &Database,
        dispatcher: &mut Dispatcher,
        latest: i64,
    ) -> Result<(), DatabaseError> {
        if self.confirmed != Some(latest) {
            self.tell_in_flight(database, dispatcher, latest).await?;
            queries::confirm_audit(database, latest, self.confirmed).await?;
            (self.seen, self.confirmed) = (Some(latest), Some(latest));
        }
        dispatcher.sent.compared();
        self.forget(database).await
    }

    async fn tell_in_flight(
        &mut self,
        database: &Database,
        dispatcher: &Dispatcher,
        latest: i64,
    ) -> Result<(), DatabaseError> {
        if self.confirmed.is_none() {
            // Commands may still wait that were told in an earlier session.
            let told: Vec<i64> = self.told.iter().flat_map(|(_, ids)| ids).copied().collect();
            if !told.is_empty() {
                queries::tell_in_flight(database, &told).await?;
            }
        }
        let (sent, seen) = (dispatcher.sent.ids(), self.seen.unwrap_or(latest));
        let told: usize = self.told.iter().map(|(_, ids)| ids.len()).sum();
        let most = i64::try_from((MOST_TOLD + 1).saturating_sub(told)).unwrap_or(0);
        if sent.is_empty() || seen >= latest || most == 0 {
            return Ok(());
        }
        let overtaken = queries::find_overtaken(database, seen, latest, &sent, most).await?;
        if !overtaken.is_empty() {
            queries::tell_in_flight(database, &overtaken).await?;
            tracing::info!(
                events = overtaken.len(),
                "events were changed or discarded that had been sent already"
            );
            self.told.push_back((Instant::now(), overtaken));
        }
        Ok(())
    }

    async fn forget(&mut self, database: &Database) -> Result<(), DatabaseError> {
        while let Some((since, audit_ids)) = self.told.front()
            && since.elapsed() >= TOLD
        {
            queries::untell_in_flight(database, audit_ids).await?;
            self.told.pop_front();
        }
        Ok(())
    }
}
