//! A read-only session with another database than the outbox's.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use service_kit::postgres::{self, DatabaseUrl, connect};
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// The time limit for connecting, and for each statement.
const LIMIT: Duration = Duration::from_secs(30);

/// The start of each transaction. The settings are local to it: behind a pooler, the next
/// transaction on the connection may be another client's.
const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '5s'; SET LOCAL jit = off";

/// Takes a role for the rest of the transaction, as SET LOCAL ROLE does.
const TAKE_ROLE: &str = "SELECT set_config('role', $1, true)";

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Reader {
    session: postgres::Session,
    /// The role whose rights it has, if not its own.
    role: Option<String>,
}

impl Reader {
    pub(super) async fn open(
        url: &DatabaseUrl,
        command: &str,
        role: Option<String>,
    ) -> anyhow::Result<Self> {
        let connected = timeout(LIMIT, connect(url, &format!("outbox command {command}"))).await;
        let connected = connected.map_err(|_| anyhow!("it does not answer within {LIMIT:?}"))?;
        let session = connected.context("the database can't be reached")?;
        Ok(Self { session, role })
    }

    /// Runs `sql` in a read-only transaction and returns its rows.
    pub(super) async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        let client = &self.session.client;
        let transaction = async {
            client.batch_execute(BEGIN).await?;
            let read = async {
                if let Some(role) = &self.role {
                    client.query(TAKE_ROLE, &[role]).await?;
                }
                client.query(sql, params).await
            };
            let rows = read.await;
            client.batch_execute("ROLLBACK").await?;
            rows
        };
        let rows = timeout(LIMIT * 2, transaction).await;
        let rows = rows.map_err(|_| anyhow!("the database does not answer"))?;
        rows.map_err(|error| anyhow!("{}", postgres::reason(&error)))
    }
}
