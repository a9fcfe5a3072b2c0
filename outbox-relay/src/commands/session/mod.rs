//! A command's session with the database.
//!
//! `tables` says what differs between the outbox and the desk. `transaction` runs each statement
//! within limits, `parts` completes its text, `error` explains failures, `group_role` knows the role that a command takes, `decode` reads text that need not be
//! UTF-8.

pub(super) mod decode;
mod error;
mod group_role;
mod open_transaction;
mod parts;
mod tables;
mod transaction;

use std::time::Duration;

use anyhow::anyhow;
use service_kit::postgres::{self, DatabaseUrl, connect, connect_writable};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use crate::commands::outcome::Unavailable;
use crate::database::OutboxTable;
use parts::Columns;
use tables::OutboxTables;
use transaction::Transaction;

pub(super) use error::{Backend, Failed, RowsRefused, explain_any};
pub(super) use tables::Tables;
pub(super) use transaction::Access;

/// How much longer than the server's own limit to wait for it: a server that answers says why.
const MARGIN: Duration = Duration::from_secs(5);

/// What the transactions of a session are kept to.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// How long a statement may take.
    pub(super) statement: Duration,
    /// The role whose rights they have, if not the session's own.
    pub(super) role: Option<String>,
}

/// A session with the database that has the outbox, or other tables.
#[derive(Debug)]
pub(super) struct Session<T = OutboxTables> {
    session: Mutex<postgres::Session>,
    url: DatabaseUrl,
    /// The `application_name`.
    name: String,
    limit: Duration,
    access: Access,
    tables: T,
    /// The role that each transaction takes, if not the session's own.
    take_role: Option<String>,
    /// The role that the session began with.
    pub(super) role: String,
}

impl Session {
    /// Connects for the command `name`.
    pub(super) async fn open(
        url: &DatabaseUrl,
        table: OutboxTable,
        limits: Limits,
        name: &str,
        access: Access,
    ) -> anyhow::Result<Self> {
        let tables = OutboxTables { table, columns: Columns::default() };
        Self::open_on(tables, url, limits, name, access).await
    }

    /// Finds out which columns the outbox has that an older schema lacks. Until then none are used.
    pub(super) async fn find_columns(&mut self) -> anyhow::Result<()> {
        let sql = include_str!("../../../../sql/relay/commands/find_columns.sql");
        let row = self.query_one(sql, &[]).await?;
        self.tables.columns = Columns {
            has_causes: row.try_get("has_causes")?,
            has_operations: row.try_get("has_operations")?,
        };
        Ok(())
    }

    /// The name of the outbox.
    pub(super) const fn table(&self) -> &OutboxTable {
        &self.tables.table
    }

    /// Fails if the audit table has no column for the numbers of operations.
    pub(super) fn require_operations(&self) -> anyhow::Result<()> {
        if self.tables.columns.has_operations {
            return Ok(());
        }
        Err(anyhow!(
            "{} has no column operation_id: `outbox-relay check` prints the SQL that adds it",
            self.table().quoted("_audit")
        ))
    }

    /// Fails if the outbox has no columns for the causes of failures.
    pub(super) fn require_causes(&self) -> anyhow::Result<()> {
        if self.tables.columns.has_causes {
            return Ok(());
        }
        Err(anyhow!(
            "{} has no columns for the causes of failures, or the role {} may not read them: `outbox-relay check` prints \
             the SQL that adds them",
            self.table(),
            self.take_role.as_ref().unwrap_or(&self.role)
        ))
    }
}

impl<T: Tables> Session<T> {
    /// Connects for the command `name` on `tables`.
    pub(super) async fn open_on(
        tables: T,
        url: &DatabaseUrl,
        limits: Limits,
        name: &str,
        access: Access,
    ) -> anyhow::Result<Self> {
        let Limits { statement: limit, role: take_role } = limits;
        let name = format!("{}{name}", T::NAME_PREFIX);
        let session = Mutex::new(connect_for(url, &name, limit, access).await?);
        let (url, role) = (url.clone(), String::new());
        let mut session = Self { session, url, name, limit, access, tables, take_role: None, role };
        let sql = include_str!("../../../../sql/relay/commands/session_role.sql");
        let row = session.query_one(sql, &[&take_role]).await?;
        session.role = decode::text(&row, "role")?;
        let may_take: bool = row.try_get("may_take")?;
        if let Some(role) = take_role.as_deref().filter(|_| !may_take) {
            return Err(error::no_member(&session.role, role, T::ROLE_SETTING));
        }
        session.take_role = take_role;
        Ok(session)
    }

    pub(super) const fn access(&self) -> Access {
        self.access
    }

    /// Returns the rows of `sql`, in which names in braces stand for the tables and shared parts.
    pub(super) async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        self.transaction(None, sql, params).await
    }

    /// Returns the only row of `sql`.
    pub(super) async fn query_one(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Row> {
        let rows = self.query(sql, params).await?;
        rows.into_iter().next().ok_or_else(|| anyhow!("the database answered without a row"))
    }

    /// Returns the rows of `sql`, which adds audit rows, while no other command adds any.
    pub(super) async fn query_audited(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        self.transaction(T::LOCK_AUDIT, sql, params).await
    }

    async fn transaction(
        &self,
        lock_audit: Option<&str>,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        let sql = self.tables.fill_in(sql);
        let lock_audit = lock_audit.map(|sql| self.tables.fill_in(sql));
        let session = self.lock().await?;
        let (client, access, limit) = (&session.client, self.access, self.limit);
        let lock_audit = lock_audit.as_deref();
        let role = self.take_role.as_deref();
        let transaction = Transaction { client, access, lock_audit, limit, role };
        let result = timeout(limit + MARGIN, transaction.query(&sql, params)).await;
        drop(session);
        match result.map_err(|_| error::too_slow(limit))? {
            Ok(rows) => Ok(rows),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                // Boxed because the query for the holders runs in a transaction too.
                let holders = Box::pin(self.find_table_lock_holders()).await.unwrap_or_default();
                Err(error::locked(holders.first(), T::NAME))
            }
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// Returns the connection, alone. A server may close a session that is idle while a person
    /// thinks or the broker is busy; no state is lost with it.
    async fn lock(&self) -> anyhow::Result<MutexGuard<'_, postgres::Session>> {
        let mut session = self.session.lock().await;
        if session.client.is_closed() {
            *session = connect_for(&self.url, &self.name, self.limit, self.access).await?;
        }
        Ok(session)
    }

    fn explain(&self, error: &Error) -> anyhow::Error {
        let command = self.name.strip_prefix(T::NAME_PREFIX).unwrap_or_default();
        let taken = self.take_role.as_deref().map(|role| (role, T::ROLE_SETTING));
        self.tables.explain(error, Failed { command, role: &self.role, taken, limit: self.limit })
    }

    /// Returns who has a table locked, or, without a table, the audit lock.
    async fn find_table_lock_holders(&self) -> anyhow::Result<Vec<(Backend, Option<String>)>> {
        let rows = self.query(T::FIND_LOCK_HOLDERS, &[]).await?;
        rows.iter()
            .map(|row| {
                let backend = Backend { pid: row.try_get(0)?, name: row.try_get(1)? };
                Ok((backend, row.try_get(2)?))
            })
            .collect()
    }
}

async fn connect_for(
    url: &DatabaseUrl,
    name: &str,
    limit: Duration,
    access: Access,
) -> anyhow::Result<postgres::Session> {
    let connected = timeout(limit + MARGIN, async {
        match access {
            Access::Read => connect(url, name).await,
            Access::ReadPrimary => match connect_writable(url, name).await {
                Ok(session) => Ok(session),
                Err(_) => connect(url, name).await,
            },
            Access::Write => connect_writable(url, name).await,
        }
    });
    connected
        .await
        .unwrap_or_else(|_| Err(anyhow!("it does not answer within {limit:?}")))
        .map_err(|error| Unavailable(format!("the database can't be reached: {error:#}")).into())
}
