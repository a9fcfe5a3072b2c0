//! The collector's session with the database: stores batches, and notes what is acknowledged.

use std::time::Duration;

use service_kit::postgres::{self, DatabaseUrl, connect_writable};
use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::message::DeadLetter;
use super::queries::Statements;

/// How much longer than the server's own limit to wait for it: a server that answers says why.
const MARGIN: Duration = Duration::from_secs(5);

/// How long a statement waits for a lock. People's commands hold theirs for moments.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Why something was not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StoreError {
    /// The database refuses these rows, or they take too long; others may do.
    Refused(String),
    /// The database can't be used now, or another collector has taken over.
    Unavailable(String),
}

/// How many messages of a batch became rows, and how many had one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) new: u64,
    pub(super) known: u64,
}

/// A session with the database, in which one session of collecting is noted.
#[derive(Debug)]
pub(super) struct Store {
    session: postgres::Session,
    statements: Statements,
    queue: String,
    limit: Duration,
    /// The number of the session of collecting.
    number: i64,
}

impl Store {
    /// Connects. The session of collecting begins with [`begin`](Self::begin).
    ///
    /// # Errors
    /// Returns why that is not possible now.
    pub(super) async fn connect(
        url: &DatabaseUrl,
        queue: &str,
        limit: Duration,
    ) -> Result<Self, String> {
        let connecting = connect_writable(url, "outbox-relay dead-letters collect");
        let session = connecting.await.map_err(|error| format!("{error:#}"))?;
        let preparing = async {
            // The planner has little to choose, and no statistics of rows that were just added.
            let settings = format!(
                "SET statement_timeout = {}; SET lock_timeout = {}; SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off",
                limit.as_millis(),
                LOCK_TIMEOUT.as_millis()
            );
            session.client.batch_execute(&settings).await?;
            Statements::prepare(&session.client).await
        };
        let prepared = timeout(limit + MARGIN, preparing).await.map_err(|_| too_slow(limit))?;
        let statements = prepared.map_err(|error| explain(&error))?;
        Ok(Self { session, statements, queue: queue.to_owned(), limit, number: 0 })
    }

    /// Begins a session of collecting. Nobody else collects the queue.
    ///
    /// # Errors
    /// Returns why that is not possible now.
    pub(super) async fn begin(&mut self) -> Result<(), String> {
        let begun = self.statements.begin_session(&self.session.client, &self.queue);
        let begun = timeout(self.limit + MARGIN, begun).await.map_err(|_| too_slow(self.limit))?;
        self.number = begun.map_err(|error| explain(&error))?;
        Ok(())
    }

    /// Completes when the connection is closed.
    pub(super) async fn closed(&mut self) {
        self.session.closed().await;
    }

    /// Stores `batch` in one transaction: a row for each message that has none. If `forgets`, also
    /// notes that no message will be delivered again that an earlier session had not acknowledged.
    ///
    /// # Errors
    /// Nothing was stored, or it is unknown whether it was: then the messages must be delivered
    /// again, and those with a row are recognised.
    pub(super) async fn store(
        &mut self,
        batch: &[DeadLetter],
        forgets: bool,
    ) -> Result<Stored, StoreError> {
        let limit = self.limit;
        let storing = timeout(limit.saturating_mul(4) + MARGIN, self.transact(batch, forgets));
        let stored = storing.await.map_err(|_| StoreError::Unavailable(too_slow(limit)))?;
        stored.map_err(|error| classify(&error))
    }

    async fn transact(&mut self, batch: &[DeadLetter], forgets: bool) -> Result<Stored, Error> {
        let (statements, queue, number) = (&self.statements, &self.queue, self.number);
        let transaction = self.session.client.transaction().await?;
        let redelivered: Vec<_> = batch.iter().filter(|message| message.redelivered).collect();
        let mut known = Vec::new();
        if !redelivered.is_empty() {
            known = statements.adopt_redelivered(&transaction, queue, number, &redelivered).await?;
            known.sort_unstable();
        }
        let is_new = |message: &&DeadLetter| known.binary_search(&message.tag).is_err();
        let new: Vec<_> = batch.iter().filter(is_new).collect();
        if !new.is_empty() {
            statements.insert_dead_letters(&transaction, queue, number, &new).await?;
        }
        if forgets {
            statements.forget_sessions(&transaction, queue, number).await?;
        }
        transaction.commit().await?;
        Ok(Stored { new: new.len() as u64, known: known.len() as u64 })
    }

    /// Does all that storing a message takes and takes it back, to see whether the database can.
    ///
    /// # Errors
    /// Returns why it can't. That it refuses this message is no such reason.
    pub(super) async fn rehearse(&mut self, message: &DeadLetter) -> Result<(), String> {
        let rehearsing = async {
            let (statements, queue, messages) = (&self.statements, &self.queue, &[message]);
            let transaction = self.session.client.transaction().await?;
            let number = statements.begin_session(&transaction, queue).await?;
            statements.release(&transaction, number, 1).await?;
            statements.adopt_redelivered(&transaction, queue, number, messages).await?;
            statements.insert_dead_letters(&transaction, queue, number, messages).await?;
            statements.forget_sessions(&transaction, queue, number).await?;
            transaction.rollback().await
        };
        let rehearsed = timeout(self.limit + MARGIN, rehearsing).await;
        match rehearsed.map_err(|_| too_slow(self.limit))?.map_err(|error| classify(&error)) {
            Ok(()) | Err(StoreError::Refused(_)) => Ok(()),
            Err(StoreError::Unavailable(reason)) => Err(reason),
        }
    }

    /// Forgets earlier sessions: none of their messages will be delivered again.
    ///
    /// # Errors
    /// Returns why they are not known to be forgotten.
    pub(super) async fn forget_sessions(&self) -> Result<(), StoreError> {
        let client = &self.session.client;
        let forgetting = self.statements.forget_sessions(client, &self.queue, self.number);
        let forgotten = timeout(self.limit + MARGIN, forgetting).await;
        let forgotten = forgotten.map_err(|_| StoreError::Unavailable(too_slow(self.limit)))?;
        forgotten.map_err(|error| StoreError::Unavailable(explain(&error)))
    }

    /// Notes that the deliveries up to `release` will be acknowledged.
    ///
    /// # Errors
    /// Returns why it is not noted, or not known to be.
    pub(super) async fn release(&self, release: u64) -> Result<(), StoreError> {
        let noting = self.statements.release(&self.session.client, self.number, signed(release));
        let noted = timeout(self.limit + MARGIN, noting).await;
        let noted = noted.map_err(|_| StoreError::Unavailable(too_slow(self.limit)))?;
        let noted = noted.map_err(|error| StoreError::Unavailable(explain(&error)))?;
        let gone =
            || StoreError::Unavailable("another collector has taken over the queue".to_owned());
        if noted { Ok(()) } else { Err(gone()) }
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// Returns why there is none.
    pub(super) async fn probe(&self) -> Result<(), String> {
        let probing = self.session.client.batch_execute("SELECT 1");
        let probed = timeout(self.limit + MARGIN, probing).await;
        probed.map_err(|_| too_slow(self.limit))?.map_err(|error| explain(&error))
    }

    /// Ends the session of collecting after everything that it stored was acknowledged.
    pub(super) async fn end(&self) {
        let ending = self.statements.end_session(&self.session.client, self.number);
        // Otherwise the next session forgets it.
        if !matches!(timeout(self.limit + MARGIN, ending).await, Ok(Ok(()))) {
            tracing::debug!("the end of the session could not be noted");
        }
    }
}

fn signed(tag: u64) -> i64 {
    i64::try_from(tag).unwrap_or(i64::MAX)
}

fn too_slow(limit: Duration) -> String {
    format!("the database takes longer than {}", humantime::format_duration(limit))
}

/// The classes of SQLSTATE that are about rows: data exceptions, integrity constraints, WITH CHECK
/// OPTION, limits on sizes, and exceptions of PL/pgSQL
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const ABOUT_ROWS: [&str; 5] = ["22", "23", "44", "54", "P0"];

fn classify(error: &Error) -> StoreError {
    let about_rows = error.code().is_some_and(|code| {
        *code == SqlState::QUERY_CANCELED
            || *code == SqlState::OUT_OF_MEMORY
            || ABOUT_ROWS.iter().any(|class| code.code().starts_with(class))
    });
    let reason = explain(error);
    if about_rows { StoreError::Refused(reason) } else { StoreError::Unavailable(reason) }
}

/// Returns why a statement failed, with what to do about it.
fn explain(error: &Error) -> String {
    let reason = postgres::reason(error);
    match error.code() {
        Some(&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN) => format!(
            "{reason}: add the tables with `outbox-relay dead-letters schema | psql \"$DEAD_LETTERS_DATABASE_URL\"`"
        ),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => format!(
            "{reason}: collecting takes the role dead_letters_collector, which `outbox-relay dead-letters schema --roles` prints"
        ),
        _ => reason,
    }
}
