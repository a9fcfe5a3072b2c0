//! The relay's one session with PostgreSQL.

use std::time::Duration;

use service_kit::postgres::{DatabaseUrl, Session, connect, reason};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use crate::lock::Lock;
use crate::queries::{self, Statements};

/// How long a statement may take before the session is given up: a little longer than the server's own limit, so
/// that a server that answers can say why.
const STATEMENT_LIMIT: Duration = Duration::from_secs(15);

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
    /// The service that owns the database has not made the outbox yet.
    #[error(
        "the table outbox does not exist: start the service that owns it, or apply sql/outbox/schema.sql"
    )]
    NoOutbox,
    /// It says that it changed nothing, and the event is as pending as before.
    #[error(
        "the outbox does not keep what is noted of its events: a trigger or a row-level policy keeps the relay from updating them"
    )]
    Unmoved,
}

/// A session whose statements are prepared. Everything that it holds, the lock above all, ends with it.
#[derive(Debug)]
pub(crate) struct Database {
    session: Session,
    pub(crate) statements: Statements,
    pub(crate) lock: Lock,
}

impl Database {
    pub(crate) async fn connect(url: &DatabaseUrl) -> Result<Self, DatabaseError> {
        let connected = timeout(STATEMENT_LIMIT, async {
            let session = connect(url, "outbox-relay").await.map_err(DatabaseError::Unreachable)?;
            queries::prepare_session(&session.client).await?;
            let statements = Statements::prepare(&session.client).await.map_err(explain)?;
            Ok(Self { session, statements, lock: Lock::default() })
        });
        connected.await.unwrap_or(Err(DatabaseError::Silent))
    }

    /// Whether the session is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.session.client.is_closed()
    }

    pub(crate) async fn query(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DatabaseError> {
        bounded(self.session.client.query(statement, params)).await
    }

    pub(crate) async fn query_one(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, DatabaseError> {
        bounded(self.session.client.query_one(statement, params)).await
    }
}

async fn bounded<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, DatabaseError> {
    match timeout(STATEMENT_LIMIT, answer).await {
        Ok(answer) => answer.map_err(explain),
        Err(_) => Err(DatabaseError::Silent),
    }
}

fn explain(error: tokio_postgres::Error) -> DatabaseError {
    if error.code() == Some(&SqlState::UNDEFINED_TABLE) {
        DatabaseError::NoOutbox
    } else {
        DatabaseError::Refused(error)
    }
}
