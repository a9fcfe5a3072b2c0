//! A session whose statements have a limit.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use service_kit::postgres::{self, DatabaseUrl, record_transaction};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::error::{DatabaseError, STATEMENT_LIMIT, explain};
use super::queries::{self, NamedStatement};

/// The sessions' `application_name`.
pub(super) const NAME: &str = "outbox-relay";

/// After this long without an answer the lanes count as lost: well before the server ends a silent
/// session.
const LEASE: Duration = Duration::from_secs(6);

/// One session, whose statements have a limit.
#[derive(Debug)]
pub(crate) struct Session {
    session: postgres::Session,
    /// When it was opened.
    begun: Instant,
    /// Milliseconds from `begun` to the moment when the latest answered statement was sent.
    answered: AtomicU64,
    /// Whether this relay has given it up, whatever the server says.
    is_given_up: AtomicBool,
}

impl Session {
    pub(crate) async fn connect(url: &DatabaseUrl) -> Result<Self, DatabaseError> {
        let session = open(url).await?;
        // The other one ends here. Where the server allows no further connection, nothing can be
        // found out.
        if let Ok(other) = open(url).await {
            ensure_dedicated_backends(&session, &other).await?;
        }
        Self::prepare(session).await
    }

    /// The client that statements are prepared with.
    pub(crate) const fn client(&self) -> &Client {
        &self.session.client
    }

    /// Sets the session up. That no pooler stands before the server is known by now: there these
    /// settings would be others' a moment later.
    pub(super) async fn prepare(session: postgres::Session) -> Result<Self, DatabaseError> {
        queries::prepare_session(&session.client).await?;
        Ok(Self {
            session,
            begun: Instant::now(),
            answered: AtomicU64::new(0),
            is_given_up: AtomicBool::new(false),
        })
    }

    /// Whether the session is known to be gone, or was given up.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed) || self.session.client.is_closed()
    }

    /// Gives the session up, whatever the server says.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    /// Whether the server has answered within the lease, so that it can't have ended the session.
    pub(crate) fn is_alive(&self) -> bool {
        let answered = Duration::from_millis(self.answered.load(Ordering::Relaxed));
        !self.is_closed() && self.begun.elapsed().saturating_sub(answered) < LEASE
    }

    pub(crate) async fn query(
        &self,
        statement: &NamedStatement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        self.bounded(statement.name, self.session.client.query(&statement.statement, params)).await
    }

    pub(crate) async fn query_one(
        &self,
        statement: &NamedStatement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, DatabaseError> {
        self.bounded(statement.name, self.session.client.query_one(&statement.statement, params))
            .await
    }

    /// Runs `sql`, which has no parameters: it begins or ends a transaction, or changes a setting.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), DatabaseError> {
        self.bounded("control", self.session.client.batch_execute(sql)).await
    }

    /// Begins a transaction, which [`commit`](Self::commit) or [`rollback`](Self::rollback) ends.
    pub(crate) async fn begin(&self) -> Result<(), DatabaseError> {
        self.execute("BEGIN").await
    }

    pub(crate) async fn commit(&self) -> Result<(), DatabaseError> {
        self.execute("COMMIT").await
    }

    pub(crate) async fn rollback(&self) -> Result<(), DatabaseError> {
        self.execute("ROLLBACK").await
    }

    /// As [`query`](Self::query), but the server gives up after `limit`.
    pub(crate) async fn query_within(
        &self,
        limit: Duration,
        statement: &NamedStatement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        let client = &self.session.client;
        let begin = format!("BEGIN; SET LOCAL statement_timeout = {}", limit.as_millis());
        self.bounded(statement.name, async {
            // Sent one after the other and answered in one go.
            let (begun, rows, ended) = tokio::join!(
                client.batch_execute(&begin),
                client.query(&statement.statement, params),
                client.batch_execute("COMMIT")
            );
            begun?;
            let rows = rows?;
            ended?;
            Ok(rows)
        })
        .await
    }

    async fn bounded<T>(
        &self,
        name: &'static str,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DatabaseError> {
        // When the statement is sent: from then on the server counts the silence.
        let asked = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let started = Instant::now();
        let answer = timeout(STATEMENT_LIMIT, answer).await;
        record_transaction(name, started.elapsed());
        if !matches!(answer, Ok(Ok(_))) {
            tracing::debug!(transaction = name, "transaction failed");
        }
        let answer = answer.map_err(|_| DatabaseError::Silent)?;
        // A refusal is an answer as well.
        if answer.as_ref().err().is_none_or(|error| error.as_db_error().is_some()) {
            self.answered.fetch_max(asked, Ordering::Relaxed);
        }
        answer.map_err(explain)
    }
}

/// Opens a session with a server that takes writes.
pub(super) async fn open(url: &DatabaseUrl) -> Result<postgres::Session, DatabaseError> {
    postgres::connect_writable(url, NAME).await.map_err(DatabaseError::Unreachable)
}

/// Fails when a pooler lends one session's connection to the other.
pub(super) async fn ensure_dedicated_backends(
    session: &postgres::Session,
    other: &postgres::Session,
) -> Result<(), DatabaseError> {
    if postgres::has_dedicated_backend(session, other).await? {
        Ok(())
    } else {
        Err(DatabaseError::LocksNotKept)
    }
}
