//! Counts the events of a batch in the customer database, each of them once.
//!
//! | file | what it does |
//! |---|---|
//! | `connection` | one transaction: the events' dedup rows and their customers' counters |
//! | `split` | decides which events the next transaction holds; does no I/O |
//! | `error_class` | whether the database, another transaction or an event caused an error |
//! | `dedicated_session` | refuses a pooler that shares the session with other clients |

mod connection;
mod dedicated_session;
mod error_class;
mod split;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use service_kit::backoff::Backoff;
use service_kit::postgres::DatabaseUrl;
use uuid::Uuid;

use super::message::OrderCreated;
use connection::CounterConnection;
use error_class::ErrorClass;
use split::{Limits, Splitter};

pub(super) use connection::EventOutcome;
pub(super) use dedicated_session::require_dedicated_session;

/// Tries of a transaction that conflicts with others, before the database counts as unusable.
const MAX_CONFLICT_TRIES: u32 = 20;

/// How long a batch waits for locked customers. Where commits are slow, other consumers hold the
/// locks for longer than one transaction waits.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(1);

/// Counts events over one database connection.
pub(super) struct Counter {
    connection: CounterConnection,
    limits: Limits,
}

impl Counter {
    /// Connects to the database and [probes](Self::probe) it.
    ///
    /// # Errors
    /// Returns why the database can't be used.
    pub(super) async fn open(
        url: &DatabaseUrl,
        statement_timeout: Duration,
    ) -> Result<Self, String> {
        let connection = CounterConnection::open(url, statement_timeout).await?;
        Ok(Self { connection, limits: Limits::default() })
    }

    /// Counts `events` and returns the outcome of each `event_id`; of events with the same id only
    /// the first is counted. One transaction takes them all. When it fails over an event, a lock or
    /// a timeout, the events are split until the one to blame is alone.
    ///
    /// # Errors
    /// Returns why the database can't be used. Some transactions may have been committed; their
    /// events turn out to be duplicates when they are delivered again.
    pub(super) async fn count(
        &mut self,
        events: impl IntoIterator<Item = OrderCreated>,
    ) -> Result<HashMap<Uuid, EventOutcome>, String> {
        let Self { connection, limits } = self;
        let started = Instant::now();
        let mut splitter = Splitter::new(limits, events);
        while let Some(part) = splitter.next_part() {
            match count_with_retries(connection, &part).await {
                Ok(outcomes) => splitter.counted(&part, outcomes),
                Err(ErrorClass::Event(reason)) => splitter.refused(part, reason),
                Err(ErrorClass::Locked(reason)) => {
                    let locked = connection.find_locked_customers(&part).await;
                    let locked = locked.map_err(ErrorClass::reason)?;
                    if part.iter().any(|event| locked.contains(&event.customer_id)) {
                        let may_wait = started.elapsed() < MAX_LOCK_WAIT;
                        splitter.customers_locked(part, &locked, may_wait);
                    } else {
                        // The lock is released by now, or it is not a customer's.
                        connection.probe().await?;
                        splitter.blocked(part, reason);
                    }
                }
                Err(ErrorClass::TooSlow(reason)) => {
                    connection.probe().await?;
                    splitter.too_slow(part, reason)?;
                }
                Err(ErrorClass::Database(reason) | ErrorClass::Conflict(reason)) => {
                    return Err(reason);
                }
            }
        }
        Ok(splitter.into_outcomes())
    }

    /// Runs the counting transaction without any events.
    ///
    /// # Errors
    /// Returns why the database can't be used.
    pub(super) async fn probe(&self) -> Result<(), String> {
        self.connection.probe().await
    }

    /// Completes when the database connection is closed.
    pub(super) async fn closed(&mut self) {
        self.connection.closed().await;
    }
}

async fn count_with_retries(
    connection: &CounterConnection,
    part: &[OrderCreated],
) -> Result<HashMap<Uuid, EventOutcome>, ErrorClass> {
    let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(100));
    let mut tries = 1;
    loop {
        match connection.count(part).await {
            Err(ErrorClass::Conflict(reason)) if tries < MAX_CONFLICT_TRIES => {
                tracing::debug!(reason, "conflict with another transaction: trying again");
                tries += 1;
                tokio::time::sleep(backoff.next_delay()).await;
            }
            result => return result,
        }
    }
}
