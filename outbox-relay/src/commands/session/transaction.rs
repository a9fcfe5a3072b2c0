//! The transaction of one statement. Its settings are its own: behind a pooler the next transaction
//! of the server process belongs to another client, whose writes they must not prevent.

use std::time::Duration;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row};

/// What the transactions of a session may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Access {
    /// Read; the server refuses writes.
    Read,
    /// Read, on the server that a relay would use: the first one that accepts writes, if any does.
    ReadPrimary,
    /// Write.
    Write,
}

/// A transaction that is about to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transaction<'a> {
    pub(super) client: &'a Client,
    pub(super) access: Access,
    /// The statement that excludes the transactions of other commands that add audit rows.
    pub(super) lock_audit: Option<&'a str>,
    /// How long a statement may take.
    pub(super) limit: Duration,
    /// The role that the transaction takes, if not the session's.
    pub(super) role: Option<&'a str>,
}

impl Transaction<'_> {
    /// Runs `sql` and commits, or rolls back.
    pub(super) async fn query(
        self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let rows = self.begin(sql, params).await?;
        self.client.batch_execute("COMMIT").await.map(|()| rows)
    }

    /// Runs `sql` and leaves the transaction open, or rolls back.
    pub(super) async fn begin(
        self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let client = self.client;
        client
            .batch_execute(match self.access {
                Access::Read | Access::ReadPrimary => {
                    "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
                }
                Access::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
            })
            .await?;
        let result = async {
            self.prepare().await?;
            if let Some(lock_audit) = self.lock_audit {
                client.query(lock_audit, &[]).await?;
            }
            client.query(sql, params).await
        };
        match result.await {
            Ok(rows) => Ok(rows),
            Err(error) => {
                // The first error says more than a failed ROLLBACK.
                client.batch_execute("ROLLBACK").await.ok();
                Err(error)
            }
        }
    }

    async fn prepare(self) -> Result<(), Error> {
        let sql = include_str!("../../../../sql/relay/commands/prepare_transaction.sql");
        let limit = self.limit.as_millis().to_string();
        self.client.query(sql, &[&limit, &self.role]).await.map(drop)
    }
}
