//! The customers' counters and the events that were counted, in one transaction.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::join4;
use service_kit::postgres::{DatabaseUrl, Session, connect, is_pooled, keeps_apart, reason};
use tokio::time::timeout;
use tokio_postgres::Statement;
use uuid::Uuid;

use super::event::OrderCreated;
use super::fault::Fault;
use crate::queries::{self, COUNT_EVENTS, LOCK_CUSTOMERS};

/// How long a transaction waits for a customer that somebody has locked, another consumer in the middle of a batch as a rule.
const LOCK_LIMIT: Duration = Duration::from_millis(250);

/// Slow events that are remembered.
const MOST_SLOW: usize = 1000;

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
    /// It can't be counted for now, and why: its customer is locked, for instance. Nothing was written.
    HeldUp(String),
}

/// A connection to the customer database, ready to count.
pub(super) struct Ledger {
    session: Session,
    lock: Statement,
    count: Statement,
    limit: Duration,
    /// Events in a transaction at the most: fewer after one that took too long.
    pub(super) part_size: usize,
    /// Events for which a transaction took too long even when they stood alone.
    pub(super) slow: HashSet<Uuid>,
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
        // A batch is two statements and a commit; beyond that the server itself does not answer.
        let limit = statement_timeout * 2 + Duration::from_secs(1);
        timeout(limit, async {
            let session = connect(url, "customer-service consumer")
                .await
                .map_err(|error| format!("{error:#}"))?;
            keep_session(url, &session).await?;
            let lock_timeout = LOCK_LIMIT.min(statement_timeout / 2).max(Duration::from_millis(1));
            queries::prepare_session(&session.client, statement_timeout, lock_timeout)
                .await
                .map_err(|error| reason(&error))?;
            let prepare = async |sql| {
                let prepared = session.client.prepare(sql).await;
                prepared.map_err(|error| reason(&error))
            };
            let (lock, count) = (prepare(LOCK_CUSTOMERS).await?, prepare(COUNT_EVENTS).await?);
            let ledger =
                Self { session, lock, count, limit, part_size: usize::MAX, slow: HashSet::new() };
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

    /// A transaction of these events was fast enough: the next one may be twice as large.
    pub(super) fn fits(&mut self, events: &[OrderCreated]) {
        self.part_size = self.part_size.max(events.len().saturating_mul(2));
        if let [event] = events {
            self.slow.remove(&event.event_id);
        }
    }

    pub(super) fn remember_slow(&mut self, event_id: Uuid) {
        if self.slow.len() >= MOST_SLOW {
            self.slow.clear();
        }
        self.slow.insert(event_id);
    }

    /// Counts nothing, by the same statements as ever.
    ///
    /// # Errors
    /// With the reason why the database can't be used.
    pub(super) async fn probe(&self) -> Result<(), String> {
        self.count(&[]).await.map(drop).map_err(Fault::reason)
    }

    /// Those of some customers that somebody else has locked.
    ///
    /// # Errors
    /// See [`count`](Self::count).
    pub(super) async fn find_locked(
        &self,
        events: &[OrderCreated],
    ) -> Result<HashSet<Uuid>, Fault> {
        let customer_ids: Vec<Uuid> = events.iter().map(|event| event.customer_id).collect();
        let finding = queries::find_locked_customers(&self.session.client, &customer_ids);
        let found = timeout(self.limit, finding).await;
        Ok(found.map_err(|_| Fault::Database(silence(self.limit)))??)
    }

    /// Completes when the connection is gone.
    pub(super) async fn closed(&mut self) {
        self.session.closed().await;
    }
}

fn silence(limit: Duration) -> String {
    format!("the database takes longer than {limit:?} to answer")
}

/// Makes sure that no pooler lends the connection of `session` to others, who would get its settings with it, and wait for its locks.
pub(super) async fn keep_session(url: &DatabaseUrl, session: &Session) -> Result<(), String> {
    // Found out once, as it takes another connection.
    static KEPT: OnceLock<()> = OnceLock::new();
    if KEPT.get().is_some() || !is_pooled(&session.client).await.map_err(|error| reason(&error))? {
        return Ok(());
    }
    let other = connect(url, "customer-service consumer: pooler check").await;
    let other = other.map_err(|error| format!("{error:#}"))?;
    match keeps_apart(session, &other).await {
        Ok(true) => {
            KEPT.get_or_init(|| ());
            Ok(())
        }
        Ok(false) => Err(
            "the database does not keep the session's settings: a pooler in transaction mode stands before it; name the server itself in \
             DATABASE_URL, or a pool with pool_mode=session"
                .to_owned(),
        ),
        Err(unanswered) => Err(unanswered.to_string()),
    }
}
