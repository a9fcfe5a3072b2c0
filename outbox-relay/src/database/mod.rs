//! The relay's two sessions with PostgreSQL: one that holds its lanes and claims, and one that settles, so that what comes next is
//! claimed while a commit is under way.

mod columns;
mod error;
mod hidden_rows;
mod prune_session;
pub(crate) mod queries;
mod settle_session;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use service_kit::postgres::{self, DatabaseUrl};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use crate::config::{Config, Retention};
use queries::{ClaimStatements, ReadNotes};

pub(crate) use error::DatabaseError;
pub(crate) use hidden_rows::HiddenRows;
pub(crate) use prune_session::PruneSession;
pub(crate) use settle_session::SettleSession;
pub use table::OutboxTable;

/// How long a statement may take before the session is given up: a little longer than the server's own limit, so
/// that a server that answers can say why.
const STATEMENT_LIMIT: Duration = Duration::from_secs(15);

/// What the sessions are called at the server.
const NAME: &str = "outbox-relay";

/// After this long without an answer the lanes count as lost: well before the server ends a session that is silent.
const LEASE: Duration = Duration::from_secs(6);

/// One session, whose statements have a limit.
#[derive(Debug)]
pub(crate) struct Session {
    session: postgres::Session,
    begun: Instant,
    /// Milliseconds from `begun` to the latest answer's question.
    answered: AtomicU64,
    is_given_up: AtomicBool,
}

impl Session {
    pub(crate) async fn connect(url: &DatabaseUrl) -> Result<Self, DatabaseError> {
        let session = open(url).await?;
        // It ends with this. Where no further connection is to be had, nothing can be found out.
        if let Ok(other) = open(url).await {
            keep_apart(&session, &other).await?;
        }
        Self::prepare(session).await
    }

    /// What statements are prepared with.
    pub(crate) const fn client(&self) -> &Client {
        &self.session.client
    }

    /// Behind a pooler its settings would be others' a moment later: that none stands there is known before.
    async fn prepare(session: postgres::Session) -> Result<Self, DatabaseError> {
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

    /// The session is of no use any more, whatever the server says.
    pub(crate) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    /// Whether the server has answered lately, so that it has not given the session up.
    pub(crate) fn is_alive(&self) -> bool {
        let answered = Duration::from_millis(self.answered.load(Ordering::Relaxed));
        !self.is_closed() && self.begun.elapsed().saturating_sub(answered) < LEASE
    }

    pub(crate) async fn query(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        self.bounded(self.session.client.query(statement, params)).await
    }

    pub(crate) async fn query_one(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, DatabaseError> {
        self.bounded(self.session.client.query_one(statement, params)).await
    }

    /// Carries out `sql`, which has no parameters.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), DatabaseError> {
        self.bounded(self.session.client.batch_execute(sql)).await
    }

    /// Begins a transaction, which [`end`](Self::end) ends.
    pub(crate) async fn begin(&self) -> Result<(), DatabaseError> {
        self.execute("BEGIN").await
    }

    /// Ends a transaction: commits it, or rolls it back.
    pub(crate) async fn end(&self, commit: bool) -> Result<(), DatabaseError> {
        self.execute(if commit { "COMMIT" } else { "ROLLBACK" }).await
    }

    /// As [`query`](Self::query), but the server gives up after `limit`.
    pub(crate) async fn query_within(
        &self,
        limit: Duration,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        let client = &self.session.client;
        let begin = format!("BEGIN; SET LOCAL statement_timeout = {}", limit.as_millis());
        self.bounded(async {
            // Sent one after the other and answered in one go.
            let (begun, rows, ended) = tokio::join!(
                client.batch_execute(&begin),
                client.query(statement, params),
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
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DatabaseError> {
        // The question's time, as the server counts its silence from there.
        let asked = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let answer = timeout(STATEMENT_LIMIT, answer).await.map_err(|_| DatabaseError::Silent)?;
        // A refusal is an answer as well.
        if answer.as_ref().err().is_none_or(|error| error.as_db_error().is_some()) {
            self.answered.fetch_max(asked, Ordering::Relaxed);
        }
        answer.map_err(explain)
    }
}

/// Both sessions. The lanes end with the first.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) claim: Session,
    pub(crate) claims: ClaimStatements,
    pub(crate) settle: Arc<SettleSession>,
    /// `None`: there is no table for events that can't be settled.
    pub(crate) notes: Option<ReadNotes>,
    /// The outbox's name in SQL, and whether the relay deletes published events.
    table: String,
    deletes: bool,
    /// What the session's name says.
    told: Option<String>,
}

impl Database {
    /// Connects to a database that takes writes and shows every row of the outbox.
    pub(crate) async fn connect(config: &Config) -> Result<Self, DatabaseError> {
        let (url, table) = (config.database.url(), &config.outbox.outbox_table);
        let deletes = config.retention.outbox_retention != Retention::Unlimited;
        // On the heap: it is large, and seldom needed.
        let connected = Box::pin(async {
            let (claim, settle) = (open(url).await?, open(url).await?);
            // The one finds out for both, without a connection more.
            keep_apart(&claim, &settle).await?;
            let claim = Session::prepare(claim).await?;
            columns::check(&claim.session.client, table).await?;
            let claims =
                ClaimStatements::prepare(&claim.session.client, table).await.map_err(explain)?;
            let settle = Arc::new(SettleSession::prepare(settle, table).await?);
            let notes = match &settle.notes {
                Some(_) => {
                    Some(ReadNotes::prepare(&claim.session.client, table).await.map_err(explain)?)
                }
                None => None,
            };
            let table = table.quoted("");
            let database = Self { claim, claims, settle, notes, table, deletes, told: None };
            database.sees_all_rows().await?;
            Ok(database)
        });
        timeout(STATEMENT_LIMIT, connected).await.unwrap_or(Err(DatabaseError::Silent))
    }

    /// Fails when row-level security hides rows from the relay's role.
    pub(crate) async fn sees_all_rows(&self) -> Result<(), DatabaseError> {
        match queries::find_hidden_rows(&self.claim, &self.claims, self.deletes).await? {
            Some(hidden) => Err(DatabaseError::HiddenRows { hidden, table: self.table.clone() }),
            None => Ok(()),
        }
    }

    /// Tells in the session's name what keeps the relay from publishing, for people who look into the database.
    pub(crate) async fn tell(&mut self, trouble: Option<&str>) -> Result<(), DatabaseError> {
        if self.told.as_deref() != trouble {
            self.told = trouble.map(str::to_owned);
            let name = trouble.map_or_else(|| NAME.to_owned(), |why| format!("{NAME}: {why}"));
            queries::name_session(self, &name).await?;
        }
        Ok(())
    }

    /// Whether the session that holds the lanes is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.claim.is_closed()
    }
}

async fn open(url: &DatabaseUrl) -> Result<postgres::Session, DatabaseError> {
    postgres::connect_writable(url, NAME).await.map_err(DatabaseError::Unreachable)
}

/// Makes sure that no pooler lends one session's connection to the other.
async fn keep_apart(
    session: &postgres::Session,
    other: &postgres::Session,
) -> Result<(), DatabaseError> {
    if postgres::keeps_apart(session, other).await? {
        Ok(())
    } else {
        Err(DatabaseError::LocksNotKept)
    }
}

pub(crate) fn explain(error: tokio_postgres::Error) -> DatabaseError {
    let missing =
        [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INVALID_SCHEMA_NAME];
    match error.as_db_error() {
        Some(db) if missing.contains(db.code()) => DatabaseError::NoOutbox(db.message().to_owned()),
        _ => DatabaseError::Refused(error),
    }
}
