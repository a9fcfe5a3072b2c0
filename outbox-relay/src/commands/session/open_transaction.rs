//! A transaction of several statements, which keeps rows locked in between.

use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::tables::Tables;
use super::transaction::Transaction;
use super::{MARGIN, Session, error};

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
        let transaction = Transaction { client, access, lock_audit: None, limit };
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

    /// Sets the savepoint of the open transaction: what it has done, and the locks that it has.
    pub(in crate::commands) async fn savepoint(&mut self) -> anyhow::Result<()> {
        self.execute_open("SAVEPOINT before").await
    }

    /// Undoes what the open transaction has done since its savepoint.
    pub(in crate::commands) async fn rollback_to_savepoint(&mut self) -> anyhow::Result<()> {
        self.execute_open("ROLLBACK TO SAVEPOINT before").await
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
