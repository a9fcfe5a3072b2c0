//! The collector's session with the database: stores batches, and notes what is acknowledged.

use std::time::Duration;

use service_kit::postgres::{self, DatabaseUrl, connect_writable};
use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::blame::Blame;
use super::message::DeadLetter;
use super::queries::{self, Statements};

/// The client's margin over the server's own timeout, so that the server's error arrives first.
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
    /// The id of the session of collecting.
    id: Uuid,
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
            let settings = settings(limit);
            session.client.batch_execute(&settings).await?;
            Statements::prepare(&session.client).await
        };
        let prepared = timeout(limit + MARGIN, preparing).await.map_err(|_| too_slow(limit))?;
        let statements = prepared.map_err(|error| explain(&error))?;
        Ok(Self { session, statements, queue: queue.to_owned(), limit, id: Uuid::nil() })
    }

    /// Keeps collectors of other brokers and virtual hosts, whose queues may have the same name, from
    /// collecting into the same tables. Returns false if there is one.
    ///
    /// # Errors
    /// Returns why that is not possible now.
    pub(super) async fn lock_queue(&self) -> Result<bool, String> {
        let locking = queries::lock_queue(&self.session.client, &self.queue);
        let locked = timeout(self.limit + MARGIN, locking).await;
        locked.map_err(|_| too_slow(self.limit))?.map_err(|error| explain(&error))
    }

    /// Begins a session of collecting. Nobody else collects the queue.
    ///
    /// # Errors
    /// Returns why that is not possible now.
    pub(super) async fn begin(&mut self) -> Result<(), String> {
        let begun = self.statements.begin_session(&self.session.client, &self.queue);
        let begun = timeout(self.limit + MARGIN, begun).await.map_err(|_| too_slow(self.limit))?;
        self.id = begun.map_err(|error| explain(&error))?;
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
        match storing.await {
            Ok(Ok(stored)) => Ok(stored),
            Ok(Err(error)) => Err(self.judge(&error).await),
            Err(_) => Err(StoreError::Unavailable(too_slow(limit))),
        }
    }

    async fn transact(&mut self, batch: &[DeadLetter], forgets: bool) -> Result<Stored, Error> {
        let (statements, queue, id) = (&self.statements, &self.queue, self.id);
        let transaction = self.session.client.transaction().await?;
        let redelivered: Vec<_> = batch.iter().filter(|message| message.redelivered).collect();
        let mut known = Vec::new();
        if !redelivered.is_empty() {
            known = statements.adopt_redelivered(&transaction, queue, id, &redelivered).await?;
            known.sort_unstable();
        }
        let is_new = |message: &&DeadLetter| known.binary_search(&message.tag).is_err();
        let new: Vec<_> = batch.iter().filter(is_new).collect();
        if !new.is_empty() {
            statements.insert_dead_letters(&transaction, queue, id, &new).await?;
        }
        if forgets {
            statements.forget_sessions(&transaction, queue, id).await?;
        }
        transaction.commit().await?;
        Ok(Stored { new: new.len() as u64, known: known.len() as u64 })
    }

    /// Decides whether messages were refused or nothing can be stored.
    async fn judge(&mut self, error: &Error) -> StoreError {
        let reason = explain(error);
        match Blame::of(error) {
            Blame::Rows => StoreError::Refused(reason),
            Blame::Database => StoreError::Unavailable(reason),
            Blame::Unclear => match self.rehearse(&[DeadLetter::sample()]).await {
                Ok(()) | Err((Blame::Rows, _)) => StoreError::Refused(reason),
                Err((_, reason)) => StoreError::Unavailable(reason),
            },
        }
    }

    /// Stores messages and rolls back, to test whether the database can store: all at once, and if
    /// it refuses some, in parts.
    ///
    /// # Errors
    /// Returns why the database can't store anything. Refusing some of the messages is no error.
    pub(super) async fn rehearse_all(&mut self, messages: &[DeadLetter]) -> Result<(), String> {
        let mut parts = Vec::from_iter((!messages.is_empty()).then_some(messages));
        while let Some(part) = parts.pop() {
            match self.rehearse(part).await {
                Ok(()) => continue,
                Err((Blame::Rows, _)) => (),
                Err((Blame::Database, reason)) => return Err(reason),
                Err((Blame::Unclear, _)) => {
                    let innocent = self.rehearse(&[DeadLetter::sample()]).await;
                    innocent.or_else(|(blame, reason)| match blame {
                        Blame::Rows => Ok(()),
                        Blame::Database | Blame::Unclear => Err(reason),
                    })?;
                }
            }
            if part.len() > 1 {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
        Ok(())
    }

    async fn rehearse(&mut self, messages: &[DeadLetter]) -> Result<(), (Blame, String)> {
        let messages: Vec<_> = messages.iter().collect();
        let rehearsing = async {
            let (statements, queue) = (&self.statements, &self.queue);
            let transaction = self.session.client.transaction().await?;
            let id = statements.begin_session(&transaction, queue).await?;
            statements.release(&transaction, id, 1).await?;
            statements.adopt_redelivered(&transaction, queue, id, &messages).await?;
            statements.insert_dead_letters(&transaction, queue, id, &messages).await?;
            statements.forget_sessions(&transaction, queue, id).await?;
            transaction.rollback().await
        };
        match timeout(self.limit.saturating_mul(4) + MARGIN, rehearsing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err((Blame::of(&error), explain(&error))),
            Err(_) => Err((Blame::Database, too_slow(self.limit))),
        }
    }

    /// Whether a session before this one has not ended in order.
    ///
    /// # Errors
    /// Returns why that is not known.
    pub(super) async fn has_earlier_sessions(&self) -> Result<bool, StoreError> {
        let client = &self.session.client;
        let asking = self.statements.has_earlier_sessions(client, &self.queue, self.id);
        let asked = timeout(self.limit + MARGIN, asking).await;
        let asked = asked.map_err(|_| StoreError::Unavailable(too_slow(self.limit)))?;
        asked.map_err(|error| StoreError::Unavailable(explain(&error)))
    }

    /// Forgets earlier sessions: none of their messages will be delivered again.
    ///
    /// # Errors
    /// Returns why they are not known to be forgotten.
    pub(super) async fn forget_sessions(&self) -> Result<(), StoreError> {
        let client = &self.session.client;
        let forgetting = self.statements.forget_sessions(client, &self.queue, self.id);
        let forgotten = timeout(self.limit + MARGIN, forgetting).await;
        let forgotten = forgotten.map_err(|_| StoreError::Unavailable(too_slow(self.limit)))?;
        forgotten.map_err(|error| StoreError::Unavailable(explain(&error)))
    }

    /// Notes that the deliveries up to `release` will be acknowledged.
    ///
    /// # Errors
    /// Returns why it is not noted, or not known to be.
    pub(super) async fn release(&self, release: u64) -> Result<(), StoreError> {
        let noting = self.statements.release(&self.session.client, self.id, signed(release));
        let noted = timeout(self.limit + MARGIN, noting).await;
        let noted = noted.map_err(|_| StoreError::Unavailable(too_slow(self.limit)))?;
        let noted = noted.map_err(|error| StoreError::Unavailable(explain(&error)))?;
        let gone =
            || StoreError::Unavailable("another collector has taken over the queue".to_owned());
        if noted { Ok(()) } else { Err(gone()) }
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// Returns why it does not.
    pub(super) async fn probe(&self) -> Result<(), String> {
        let probing = self.session.client.batch_execute("SELECT 1");
        let probed = timeout(self.limit + MARGIN, probing).await;
        probed.map_err(|_| too_slow(self.limit))?.map_err(|error| explain(&error))
    }

    /// Ends the session of collecting after everything that it stored was acknowledged.
    pub(super) async fn end(&self) {
        if self.id.is_nil() {
            return;
        }
        let ending = self.statements.end_session(&self.session.client, self.id);
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

/// Returns the session's settings. Only index scans are allowed, as the planner has no statistics
/// of rows just added. Commits are synchronous: the messages are acknowledged after them.
/// Keepalives end the session of a collector whose machine is gone, and with it the lock of its
/// queue.
fn settings(limit: Duration) -> String {
    format!(
        "SET statement_timeout = {}; SET lock_timeout = {};
         SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off;
         SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
         SELECT set_config('synchronous_commit', 'on', false)
         WHERE current_setting('synchronous_commit') = 'off'",
        limit.as_millis(),
        LOCK_TIMEOUT.as_millis()
    )
}

/// Returns why a statement failed, with a hint where there is one.
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
