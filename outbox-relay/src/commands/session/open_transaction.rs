//! A transaction of several statements, which keeps rows locked in between.

use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::tables::Tables;
use super::transaction::Transaction;
use super::{MARGIN, RowsRefused, Session, error};

/// Each takes the session alone, as the transaction is the session's. Dropping the session ends the
/// connection, and rolls back.
impl<T: Tables> Session<T> {
    /// Begins a transaction with `sql`, returns its rows, and leaves the transaction open.
    pub(in crate::commands) async fn begin(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        let sql = self.tables.fill_in(sql);
        let session = self.lock().await?;
        let (client, access, limit) = (&session.client, self.access, self.limit);
        let role = self.take_role.as_deref();
        let transaction = Transaction { client, access, lock_audit: None, limit, role };
        let begun = timeout(limit + MARGIN, transaction.begin(&sql, params)).await;
        drop(session);
        begun.map_err(|_| error::too_slow(limit))?.map_err(|error| self.explain(&error))
    }

    /// Returns the rows of `sql` in the open transaction.
    pub(in crate::commands) async fn query_open(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        let sql = self.tables.fill_in(sql);
        let queried = self.session.get_mut().client.query(&sql, params);
        let queried = timeout(self.limit + MARGIN, queried).await;
        queried.map_err(|_| error::too_slow(self.limit))?.map_err(|error| self.explain(&error))
    }

    /// The same, but if the database refuses `sql` over its rows, the transaction goes on as if
    /// that had not been tried.
    pub(in crate::commands) async fn try_open(
        &mut self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> anyhow::Result<Vec<Row>> {
        self.execute_open("SAVEPOINT part").await?;
        match self.query_open(sql, params).await {
            Ok(rows) => {
                self.execute_open("RELEASE SAVEPOINT part").await?;
                Ok(rows)
            }
            Err(error) if error.is::<RowsRefused>() => {
                self.execute_open("ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part").await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Commits the open transaction.
    pub(in crate::commands) async fn commit(&mut self) -> anyhow::Result<()> {
        self.execute_open("COMMIT").await
    }

    async fn execute_open(&mut self, statement: &str) -> anyhow::Result<()> {
        let executed = self.session.get_mut().client.batch_execute(statement);
        let executed = timeout(self.limit + MARGIN, executed).await;
        executed.map_err(|_| error::too_slow(self.limit))?.map_err(|error| self.explain(&error))
    }
}
