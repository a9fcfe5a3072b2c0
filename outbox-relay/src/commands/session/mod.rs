//! A command's session with the database.
//!
//! `transaction` runs each statement within limits, `parts` completes its text, `error` explains
//! failures, `group_role` knows the role that a command takes, `decode` reads text that need not be
//! UTF-8.

pub(super) mod decode;
mod error;
mod group_role;
mod parts;
mod transaction;

use std::time::Duration;

use anyhow::anyhow;
use service_kit::postgres::{self, DatabaseUrl, connect, connect_writable};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::database::OutboxTable;
use error::Failed;
use parts::Columns;
use transaction::{AuditLock, Transaction};

pub(super) use error::{Backend, RowsRefused};
pub(super) use transaction::Access;

/// How much longer than the server's own limit to wait for it: a server that answers says why.
const MARGIN: Duration = Duration::from_secs(5);

/// What stands before a command's name in its `application_name`.
const NAME_PREFIX: &str = "outbox command ";

/// A session with the database that has the outbox.
#[derive(Debug)]
pub(super) struct Session {
    session: Mutex<postgres::Session>,
    url: DatabaseUrl,
    /// The `application_name`. It differs from the relays', by which people count them.
    name: String,
    table: OutboxTable,
    limit: Duration,
    access: Access,
    columns: Columns,
    /// The role that the session began with.
    pub(super) role: String,
}

impl Session {
    /// Connects for the command `name`; each statement may take `limit`.
    pub(super) async fn open(
        url: &DatabaseUrl,
        table: OutboxTable,
        limit: Duration,
        name: &str,
        access: Access,
    ) -> anyhow::Result<Self> {
        let name = format!("{NAME_PREFIX}{name}");
        let session = Mutex::new(connect_for(url, &name, limit, access).await?);
        let (url, role, columns) = (url.clone(), String::new(), Columns::default());
        let mut session = Self { session, url, name, table, limit, access, columns, role };
        let sql = include_str!("../../../../sql/relay/commands/session_role.sql");
        session.role = decode::text(&session.query_one(sql, &[]).await?, "role")?;
        Ok(session)
    }

    /// Finds out which columns the outbox has that an older schema lacks. Until then none are used.
    pub(super) async fn find_columns(&mut self) -> anyhow::Result<()> {
        let sql = include_str!("../../../../sql/relay/commands/find_columns.sql");
        let row = self.query_one(sql, &[]).await?;
        self.columns = Columns {
            has_causes: row.try_get("has_causes")?,
            has_operations: row.try_get("has_operations")?,
        };
        Ok(())
    }

    /// The name of the outbox.
    pub(super) const fn table(&self) -> &OutboxTable {
        &self.table
    }

    pub(super) const fn access(&self) -> Access {
        self.access
    }

    /// Fails if the audit table has no column for the numbers of operations.
    pub(super) fn require_operations(&self) -> anyhow::Result<()> {
        if self.columns.has_operations {
            return Ok(());
        }
        Err(anyhow!(
            "{} has no column operation_id: `outbox-relay check` prints the SQL that adds it",
            self.table.quoted("_audit")
        ))
    }

    /// Fails if the outbox has no columns for the causes of failures.
    pub(super) fn require_causes(&self) -> anyhow::Result<()> {
        if self.columns.has_causes {
            return Ok(());
        }
        Err(anyhow!(
            "{} has no columns for the causes of failures, or the role {} may not read them: `outbox-relay check` prints \
             the SQL that adds them",
            self.table,
            self.role
        ))
    }

    /// Returns the rows of `sql`, in which `{outbox}` and `{audit}` stand for the tables.
    pub(super) async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        self.transaction(AuditLock::None, sql, params).await
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
        self.transaction(AuditLock::Exclusive, sql, params).await
    }

    async fn transaction(
        &self,
        audit_lock: AuditLock,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        let sql = self.table.fill_in(&self.columns.fill_in(sql));
        let mut session = self.session.lock().await;
        if session.client.is_closed() {
            // A server may close a session that is idle while a person thinks or the broker is
            // busy. No state is lost with it.
            *session = connect_for(&self.url, &self.name, self.limit, self.access).await?;
        }
        let (client, table) = (&session.client, &self.table);
        let transaction =
            Transaction { client, table, access: self.access, audit_lock, limit: self.limit };
        let result = timeout(self.limit + MARGIN, transaction.query(&sql, params)).await;
        drop(session);
        match result.map_err(|_| error::too_slow(self.limit))? {
            Ok(rows) => Ok(rows),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                // Boxed because the query for the holders runs in a transaction too.
                let holders = Box::pin(self.find_table_lock_holders()).await.unwrap_or_default();
                Err(error::locked(holders.first()))
            }
            Err(error) => {
                let (table, role, limit) = (&self.table, self.role.as_str(), self.limit);
                let command = self.name.strip_prefix(NAME_PREFIX).unwrap_or_default();
                Err(error::explain(&error, Failed { table, command, role, limit }))
            }
        }
    }

    /// Returns who has a table locked, or, without a table, the audit lock.
    async fn find_table_lock_holders(&self) -> anyhow::Result<Vec<(Backend, Option<String>)>> {
        let sql = include_str!("../../../../sql/relay/commands/find_table_lock_holders.sql");
        let rows = self.query(sql, &[]).await?;
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
        .map_err(|error| anyhow!("the database can't be reached: {error:#}"))
}
