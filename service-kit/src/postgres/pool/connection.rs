//! A pooled connection.

use deadpool_postgres::Object;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row, Statement};

/// A value for a statement, with its type.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection checked out of a pool. Runs one statement at a time.
#[derive(Debug)]
pub struct Connection {
    pub(super) object: Object,
    /// Whether statements are prepared by name.
    by_name: bool,
}

impl Connection {
    pub(super) const fn new(object: Object, by_name: bool) -> Self {
        Self { object, by_name }
    }

    /// Returns the rows of `sql`.
    ///
    /// # Errors
    /// The driver's error: the server rejected the statement, or the connection was lost.
    pub async fn query(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Error> {
        if !self.by_name {
            return self.object.query_typed(sql, parameters).await;
        }
        let statement = self.prepare(sql, parameters).await?;
        self.object.query(&statement, &values(parameters)).await
    }

    /// Returns the row of `sql`, if there is one.
    ///
    /// # Errors
    /// As [`query`](Self::query), and if there are several rows.
    pub async fn query_opt(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Option<Row>, Error> {
        if !self.by_name {
            return self.object.query_typed_opt(sql, parameters).await;
        }
        let statement = self.prepare(sql, parameters).await?;
        self.object.query_opt(&statement, &values(parameters)).await
    }

    /// Returns the only row of `sql`.
    ///
    /// # Errors
    /// As [`query`](Self::query), and if there is not exactly one row.
    pub async fn query_one(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Row, Error> {
        if !self.by_name {
            return self.object.query_typed_one(sql, parameters).await;
        }
        let statement = self.prepare(sql, parameters).await?;
        self.object.query_one(&statement, &values(parameters)).await
    }

    /// Returns how many rows `sql` changed.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn execute(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<u64, Error> {
        if !self.by_name {
            return self.object.execute_typed(sql, parameters).await;
        }
        let statement = self.prepare(sql, parameters).await?;
        self.object.execute(&statement, &values(parameters)).await
    }

    /// Completes when the server answers.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn ping(&self) -> Result<(), Error> {
        self.object.simple_query("").await.map(drop)
    }

    /// Prepares the statement, unless the session has it already.
    async fn prepare(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Statement, Error> {
        let types: Vec<Type> = parameters.iter().map(|(_, kind)| kind.clone()).collect();
        self.object.prepare_typed_cached(sql, &types).await
    }
}

fn values<'a>(parameters: &[Parameter<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    parameters.iter().map(|(value, _)| *value).collect()
}
