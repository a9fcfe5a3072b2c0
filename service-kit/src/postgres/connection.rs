//! A connection on loan from a pool.

use deadpool_postgres::Object;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row, Statement};

/// A value for a statement, with its type.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection on loan from a pool. Statements go through it one at a time.
#[derive(Debug)]
pub struct Connection {
    pub(super) object: Object,
    /// Whether the server remembers statements by name.
    by_name: bool,
}

impl Connection {
    pub(super) const fn new(object: Object, by_name: bool) -> Self {
        Self { object, by_name }
    }

    /// The rows that `sql` returns.
    ///
    /// # Errors
    /// The driver's: the server refused the statement, or the line broke.
    pub async fn query(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Error> {
        if !self.by_name {
            return self.object.query_typed(sql, parameters).await;
        }
        let statement = self.prepare(sql, parameters).await?;
        self.object.query(&statement, &values(parameters)).await
    }

    /// The row that `sql` returns, if it does.
    ///
    /// # Errors
    /// As [`query`](Self::query), and when there are several.
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

    /// The one row that `sql` returns.
    ///
    /// # Errors
    /// As [`query`](Self::query), and when there is another number of them.
    pub async fn query_one(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Row, Error> {
        if !self.by_name {
            return self.object.query_typed_one(sql, parameters).await;
        }
        let statement = self.prepare(sql, parameters).await?;
        self.object.query_one(&statement, &values(parameters)).await
    }

    /// How many rows `sql` changed.
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

    /// Whether the server answers.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn ping(&self) -> Result<(), Error> {
        self.object.simple_query("").await.map(drop)
    }

    /// The statement as the server remembers it.
    async fn prepare(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Statement, Error> {
        let types: Vec<Type> = parameters.iter().map(|(_, kind)| kind.clone()).collect();
        self.object.prepare_typed_cached(sql, &types).await
    }
}

fn values<'a>(parameters: &[Parameter<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    parameters.iter().map(|(value, _)| *value).collect()
}
