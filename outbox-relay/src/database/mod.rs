//! The relay's two sessions with PostgreSQL: one that holds its lanes and reads, and one that
//! settles, so that the next events are loaded while a commit is under way. [`queries`] has a
//! function for each statement.

mod audit_prune_session;
mod columns;
mod error;
mod prune_session;
pub(crate) mod queries;
mod row_security;
mod session;
mod settle_session;
mod table;

use std::sync::Arc;

use tokio::time::timeout;

use crate::config::{Config, Retention};
use error::{STATEMENT_LIMIT, explain};
use queries::{FoundTable, LoadUnsettledStatements, PauseStatements, RelayStatements};
use session::{NAME, ensure_dedicated_backends, open};

pub(crate) use audit_prune_session::AuditPruneSession;
pub(crate) use error::DatabaseError;
pub(crate) use prune_session::PruneSession;
pub(crate) use row_security::HiddenRows;
pub(crate) use session::Session;
pub(crate) use settle_session::SettleSession;
pub use table::OutboxTable;

/// Both sessions. The lanes end with the first one.
#[derive(Debug)]
pub(crate) struct Database {
    /// Holds the lanes, and reads.
    pub(crate) session: Session,
    pub(crate) statements: RelayStatements,
    /// Settles events.
    pub(crate) settle: Arc<SettleSession>,
    /// Read `outbox_unsettled`; `None` if that table is missing or may not be used.
    pub(crate) unsettled: Option<LoadUnsettledStatements>,
    pub(crate) pauses: PausesTable,
    /// The outbox.
    outbox: OutboxTable,
    /// Whether the relay deletes published events.
    deletes: bool,
    /// What the `application_name` shows after the name.
    status: Option<String>,
}

/// The table `outbox_pauses`.
#[derive(Debug)]
pub(crate) enum PausesTable {
    /// It was not looked for in this session.
    Unknown,
    /// The schema is an older one.
    Absent,
    /// The role may not read it.
    Unreadable,
    Readable(PauseStatements),
}

impl Database {
    /// Connects to a database that takes writes and shows every row of the outbox.
    pub(crate) async fn connect(config: &Config) -> Result<Self, DatabaseError> {
        let (url, table) = (config.database.url(), &config.outbox.outbox_table);
        let deletes = config.retention.outbox_retention != Retention::Unlimited;
        // On the heap: the future is large, and seldom needed.
        let connected = Box::pin(async {
            let (session, settle) = (open(url).await?, open(url).await?);
            // Each shows for the other that no pooler stands between, without a third connection.
            ensure_dedicated_backends(&session, &settle).await?;
            let session = Session::prepare(session).await?;
            columns::check(session.client(), table).await?;
            let statements =
                RelayStatements::prepare(session.client(), table).await.map_err(explain)?;
            let settle = Arc::new(SettleSession::prepare(settle, table).await?);
            let unsettled = match &settle.notes {
                Some(_) => Some(
                    LoadUnsettledStatements::prepare(session.client(), table)
                        .await
                        .map_err(explain)?,
                ),
                None => None,
            };
            let outbox = table.clone();
            let (pauses, status) = (PausesTable::Unknown, None);
            let database =
                Self { session, statements, settle, unsettled, pauses, outbox, deletes, status };
            database.sees_all_rows().await?;
            Ok(database)
        });
        timeout(STATEMENT_LIMIT, connected).await.unwrap_or(Err(DatabaseError::Silent))
    }

    /// Fails when row-level security hides rows from the relay's role.
    pub(crate) async fn sees_all_rows(&self) -> Result<(), DatabaseError> {
        match queries::find_hidden_rows(&self.session, &self.statements, self.deletes).await? {
            Some(hidden) => {
                Err(DatabaseError::HiddenRows { hidden, table: self.outbox.quoted("") })
            }
            None => Ok(()),
        }
    }

    /// Looks for the table of pauses, unless it is known to be readable. If it is, commands know from
    /// then on that this relay respects them.
    pub(crate) async fn find_pauses(&mut self) -> Result<(), DatabaseError> {
        if matches!(self.pauses, PausesTable::Readable(_)) {
            return Ok(());
        }
        let client = self.session.client();
        self.pauses =
            match queries::find_pauses_table(client, &self.outbox).await.map_err(explain)? {
                FoundTable::Absent => PausesTable::Absent,
                FoundTable::Unreadable => PausesTable::Unreadable,
                FoundTable::Readable => {
                    let statements = queries::prepare_pauses(&self.session, &self.outbox).await?;
                    queries::respect_pauses(&self.session, &statements).await?;
                    PausesTable::Readable(statements)
                }
            };
        Ok(())
    }

    /// Shows in the session's `application_name` what keeps the relay from publishing, for people
    /// who read `pg_stat_activity`.
    pub(crate) async fn set_session_status(
        &mut self,
        trouble: Option<&str>,
    ) -> Result<(), DatabaseError> {
        if self.status.as_deref() != trouble {
            self.status = trouble.map(str::to_owned);
            let name = trouble.map_or_else(|| NAME.to_owned(), |why| format!("{NAME}: {why}"));
            queries::name_session(self, &name).await?;
        }
        Ok(())
    }

    /// Whether the session that holds the lanes is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.session.is_closed()
    }
}
