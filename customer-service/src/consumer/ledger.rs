//! The customers' counters and the events that were counted, in one transaction.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join4;
use service_kit::postgres::{DatabaseUrl, Session, connect, reason};
use tokio::time::timeout;
use tokio_postgres::Statement;
use uuid::Uuid;

use super::event::OrderCreated;
use super::fault::Fault;
use crate::queries::{self, COUNT_EVENTS, LOCK_CUSTOMERS};

/// Plans are made once, and don't follow statistics that a burst of events has just made wrong: keys are looked up in their
/// indexes. Compiling the statement would take longer than it runs.
const PLANS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off";

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was new and has been added to its customer's counter.
    Counted,
    /// It had had its effect before.
    Duplicate,
    /// There is no such customer; nothing was written.
    CustomerUnknown,
    /// The database refuses this event, and why; nothing was written.
    Refused(String),
}

/// A connection to the customer database, ready to count.
pub(super) struct Ledger {
    session: Session,
    lock: Statement,
    count: Statement,
    limit: Duration,
}

impl Ledger {
    /// Connects and [probes](Self::probe), so that what would hinder counting (a missing table or right, a read-only server)
    /// shows here.
    ///
    /// # Errors
    /// With the reason why the database can't be used.
    pub(super) async fn open(
        url: &DatabaseUrl,
        statement_timeout: Duration,
    ) -> Result<Self, String> {
        let mut url = url.clone();
        let options =
            url.config_mut().get_options().map_or_else(String::new, |given| format!("{given} "));
        let limit = statement_timeout.as_millis();
        url.config_mut().options(format!(
            "{options}-c statement_timeout={limit} -c idle_in_transaction_session_timeout={limit} {PLANS}"
        ));
        // A batch is two statements and a commit; beyond that the server itself does not answer.
        let limit = statement_timeout * 2 + Duration::from_secs(1);
        timeout(limit, async {
            let session = connect(&url, "customer-service consumer")
                .await
                .map_err(|error| format!("{error:#}"))?;
            let prepare = async |sql| {
                let prepared = session.client.prepare(sql).await;
                prepared.map_err(|error| reason(&error))
            };
            let (lock, count) = (prepare(LOCK_CUSTOMERS).await?, prepare(COUNT_EVENTS).await?);
            let ledger = Self { session, lock, count, limit };
            ledger.probe().await.map(|()| ledger)
        })
        .await
        .unwrap_or_else(|_| Err(silence(limit)))
    }

    /// Counts `events`, all of them or none. One `event_id` must not stand in it twice.
    ///
    /// # Errors
    /// See [`Fault`]; after [`Fault::Database`] the ledger is not to be used again.
    pub(super) async fn count(
        &self,
        events: &[OrderCreated],
    ) -> Result<HashMap<Uuid, Outcome>, Fault> {
        let event_ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
        let customer_ids: Vec<Uuid> = events.iter().map(|event| event.customer_id).collect();
        let client = &self.session.client;
        // Sent in one go, answered in one round trip. After a statement that failed the COMMIT rolls back.
        let transaction = join4(
            client.batch_execute("BEGIN"),
            queries::lock_customers(client, &self.lock, &customer_ids),
            queries::count_events(client, &self.count, &event_ids, &customer_ids),
            client.batch_execute("COMMIT"),
        );
        let (begun, locked, counted, committed) = timeout(self.limit, transaction)
            .await
            .map_err(|_| Fault::Database(silence(self.limit)))?;
        begun?;
        locked?;
        let rows = counted?;
        committed?;
        let mut outcomes: HashMap<Uuid, Outcome> =
            event_ids.into_iter().map(|event_id| (event_id, Outcome::Counted)).collect();
        for row in rows {
            let is_duplicate: bool = row.try_get(1)?;
            let outcome = if is_duplicate { Outcome::Duplicate } else { Outcome::CustomerUnknown };
            outcomes.insert(row.try_get(0)?, outcome);
        }
        Ok(outcomes)
    }

    /// Counts nothing, by the same statements as ever.
    ///
    /// # Errors
    /// With the reason why the database can't be used.
    pub(super) async fn probe(&self) -> Result<(), String> {
        match self.count(&[]).await {
            Ok(_) => Ok(()),
            Err(Fault::Database(reason) | Fault::Conflict(reason) | Fault::Message(reason)) => {
                Err(reason)
            }
        }
    }

    /// Completes when the connection is gone.
    pub(super) async fn closed(&mut self) {
        self.session.closed().await;
    }
}

fn silence(limit: Duration) -> String {
    format!("the database takes longer than {limit:?} to answer")
}
