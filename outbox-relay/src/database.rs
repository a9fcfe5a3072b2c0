//! The relay's two sessions with PostgreSQL: one that holds its lanes and claims, and one that settles, so that what comes next is
//! claimed while a commit is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use service_kit::postgres::{self, DatabaseUrl, ReadOnly, reason};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use crate::config::{Config, Retention};
use crate::hidden::HiddenRows;
use crate::pooler::{self, Unanswered};
use crate::queries::{self, ClaimStatements, SettleStatements};
use crate::table::OutboxTable;

/// How long a statement may take before the session is given up: a little longer than the server's own limit, so
/// that a server that answers can say why.
const STATEMENT_LIMIT: Duration = Duration::from_secs(15);

/// What the sessions are called at the server.
const NAME: &str = "outbox-relay";

/// After this long without an answer the lanes count as lost: well before the server ends a session that is silent.
const LEASE: Duration = Duration::from_secs(6);

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// It said so, or the connection ended.
    #[error("{}", reason(.0))]
    Refused(#[from] tokio_postgres::Error),
    /// It can't be reached.
    #[error("{0:#}")]
    Unreachable(anyhow::Error),
    /// It says nothing at all.
    #[error("the database does not answer within {} s", STATEMENT_LIMIT.as_secs())]
    Silent,
    /// The service that owns the database has not made the outbox yet, or made an older one.
    #[error(
        "the outbox is not there or not complete ({0}): start the service that owns it, or apply what `outbox-relay schema` prints"
    )]
    NoOutbox(String),
    /// It says that it changed nothing, and the event is as pending as before.
    #[error(
        "the outbox does not keep what is noted of its events: a trigger or a row-level policy keeps the relay from updating them"
    )]
    Unmoved,
    /// Nothing that is published could be noted.
    #[error("{0}")]
    ReadOnly(ReadOnly),
    /// Events would be left out, or sent again and again.
    #[error("{hidden}: {}", hidden.remedy(.table))]
    HiddenRows { hidden: HiddenRows, table: String },
    /// The session's locks are not there.
    #[error(
        "the database does not keep the session's locks: a pooler in transaction mode stands before it; name the server itself in DATABASE_URL, or a pool with pool_mode=session"
    )]
    LocksNotKept,
}

/// One session, whose statements have a limit.
#[derive(Debug)]
pub(crate) struct Session {
    session: postgres::Session,
    begun: Instant,
    /// Milliseconds from `begun` to the latest answer's question.
    answered: AtomicU64,
}

impl From<Unanswered> for DatabaseError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Refused(error) => Self::Refused(error),
            Unanswered::Late => Self::Silent,
        }
    }
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

    /// Behind a pooler its settings would be others' a moment later: that none stands there is known before.
    async fn prepare(session: postgres::Session) -> Result<Self, DatabaseError> {
        queries::prepare_session(&session.client).await?;
        Ok(Self { session, begun: Instant::now(), answered: AtomicU64::new(0) })
    }

    /// What statements are prepared with.
    pub(crate) const fn client(&self) -> &Client {
        &self.session.client
    }

    /// Whether the session is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.session.client.is_closed()
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

    async fn bounded<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DatabaseError> {
        // The question's time, as the server counts its silence from there.
        let asked = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let answer = timeout(STATEMENT_LIMIT, answer).await.map_err(|_| DatabaseError::Silent)?;
        let answer = answer.map_err(explain)?;
        self.answered.fetch_max(asked, Ordering::Relaxed);
        Ok(answer)
    }
}

/// Both sessions. The lanes end with the first.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) claim: Session,
    pub(crate) claims: ClaimStatements,
    pub(crate) settle: Arc<SettleSession>,
    /// The outbox's name in SQL, and whether the relay deletes published events.
    table: String,
    deletes: bool,
    /// What the session's name says.
    told: Option<String>,
}

/// The session that settles, shared with the task that does it.
#[derive(Debug)]
pub(crate) struct SettleSession {
    pub(crate) session: Session,
    pub(crate) statements: SettleStatements,
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
            let claims =
                ClaimStatements::prepare(&claim.session.client, table).await.map_err(explain)?;
            let settle = Arc::new(SettleSession::prepare(settle, table).await?);
            let database =
                Self { claim, claims, settle, table: table.quoted(""), deletes, told: None };
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

    /// Whether one of the sessions is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.claim.is_closed() || self.settle.session.is_closed()
    }
}

impl SettleSession {
    async fn prepare(
        session: postgres::Session,
        table: &OutboxTable,
    ) -> Result<Self, DatabaseError> {
        let session = Session::prepare(session).await?;
        queries::prepare_settle_session(&session.session.client).await?;
        let statements =
            SettleStatements::prepare(&session.session.client, table).await.map_err(explain)?;
        Ok(Self { session, statements })
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
    if pooler::keeps_apart(session, other).await? {
        Ok(())
    } else {
        Err(DatabaseError::LocksNotKept)
    }
}

fn explain(error: tokio_postgres::Error) -> DatabaseError {
    let missing =
        [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INVALID_SCHEMA_NAME];
    match error.as_db_error() {
        Some(db) if missing.contains(db.code()) => DatabaseError::NoOutbox(db.message().to_owned()),
        _ => DatabaseError::Refused(error),
    }
}
