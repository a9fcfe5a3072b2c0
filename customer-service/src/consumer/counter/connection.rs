//! The transaction that counts events: their dedup rows and their customers' counters.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::future::join4;
use service_kit::postgres::{DatabaseUrl, Session, connect, reason, record_transaction};
use tokio::time::timeout;
use tokio_postgres::Statement;
use uuid::Uuid;

use super::dedicated_session::require_dedicated_session;
use super::error_class::ErrorClass;
use crate::consumer::message::OrderCreated;
use crate::queries::{self, COUNT_EVENTS, LOCK_CUSTOMERS};

/// How long a transaction waits for a locked customer. Usually another consumer holds the lock, for
/// the length of one transaction.
const LOCK_TIMEOUT: Duration = Duration::from_millis(250);

/// The outcome of an event. Only a counted one has changed the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consumer) enum EventOutcome {
    /// It was new, and is now added to its customer's counter.
    Counted,
    /// It was counted before.
    Duplicate,
    /// Its customer does not exist.
    UnknownCustomer,
    /// The database refuses it, and why.
    Refused(String),
    /// It can't be counted for now, and why: its customer is locked, for instance.
    Blocked(String),
}

/// A connection to the customer database with the prepared statements that count.
pub(super) struct CounterConnection {
    session: Session,
    lock: Statement,
    count: Statement,
    response_timeout: Duration,
}

impl CounterConnection {
    /// Connects and [probes](Self::probe), so that a missing table, a missing privilege or a
    /// read-only server shows here.
    ///
    /// # Errors
    /// Returns why the database can't be used.
    pub(super) async fn open(
        url: &DatabaseUrl,
        statement_timeout: Duration,
    ) -> Result<Self, String> {
        // A transaction is two statements and a commit. After their timeouts the server itself does
        // not respond.
        let response_timeout = statement_timeout * 2 + Duration::from_secs(1);
        timeout(response_timeout, async {
            let session = connect(url, "customer-service consumer")
                .await
                .map_err(|error| format!("{error:#}"))?;
            require_dedicated_session(url, &session).await?;
            let lock_timeout =
                LOCK_TIMEOUT.min(statement_timeout / 2).max(Duration::from_millis(1));
            queries::prepare_session(&session.client, statement_timeout, lock_timeout)
                .await
                .map_err(|error| reason(&error))?;
            let prepare = async |sql| {
                let prepared = session.client.prepare(sql).await;
                prepared.map_err(|error| reason(&error))
            };
            let (lock, count) = (prepare(LOCK_CUSTOMERS).await?, prepare(COUNT_EVENTS).await?);
            let connection = Self { session, lock, count, response_timeout };
            connection.probe().await.map(|()| connection)
        })
        .await
        .unwrap_or_else(|_| Err(no_response(response_timeout)))
    }

    /// Counts all of `events` in one transaction and returns the outcome of each. Their ids must be
    /// distinct.
    ///
    /// # Errors
    /// Nothing was counted; see [`ErrorClass`]. After [`ErrorClass::Database`] the connection must
    /// not be used again.
    pub(super) async fn count(
        &self,
        events: &[OrderCreated],
    ) -> Result<HashMap<Uuid, EventOutcome>, ErrorClass> {
        let event_ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
        let customer_ids: Vec<Uuid> = events.iter().map(|event| event.customer_id).collect();
        let client = &self.session.client;
        // Pipelined: one round trip. After a statement that failed, COMMIT rolls back.
        let transaction = join4(
            client.batch_execute("BEGIN"),
            queries::lock_customers(client, &self.lock, &customer_ids),
            queries::count_events(client, &self.count, &event_ids, &customer_ids),
            client.batch_execute("COMMIT"),
        );
        let started = Instant::now();
        let response = timeout(self.response_timeout, transaction).await;
        record_transaction("count_events", started.elapsed());
        let (began, locked, counted, committed) =
            response.map_err(|_| ErrorClass::Database(no_response(self.response_timeout)))?;
        began?;
        locked?;
        let rows = counted?;
        committed?;
        let mut outcomes: HashMap<Uuid, EventOutcome> =
            event_ids.into_iter().map(|event_id| (event_id, EventOutcome::Counted)).collect();
        for row in rows {
            let is_duplicate: bool = row.try_get(1)?;
            let outcome =
                if is_duplicate { EventOutcome::Duplicate } else { EventOutcome::UnknownCustomer };
            outcomes.insert(row.try_get(0)?, outcome);
        }
        Ok(outcomes)
    }

    /// Runs the counting transaction without any events.
    ///
    /// # Errors
    /// Returns why the database can't be used.
    pub(super) async fn probe(&self) -> Result<(), String> {
        self.count(&[]).await.map(drop).map_err(ErrorClass::reason)
    }

    /// Returns those customers of `events` whose rows another session has locked.
    ///
    /// # Errors
    /// See [`count`](Self::count).
    pub(super) async fn find_locked_customers(
        &self,
        events: &[OrderCreated],
    ) -> Result<HashSet<Uuid>, ErrorClass> {
        let customer_ids: Vec<Uuid> = events.iter().map(|event| event.customer_id).collect();
        let finding = queries::find_locked_customers(&self.session.client, &customer_ids);
        let found = timeout(self.response_timeout, finding).await;
        Ok(found.map_err(|_| ErrorClass::Database(no_response(self.response_timeout)))??)
    }

    /// Completes when the connection is closed.
    pub(super) async fn closed(&mut self) {
        self.session.closed().await;
    }
}

fn no_response(timeout: Duration) -> String {
    format!("the database takes longer than {timeout:?} to answer")
}
