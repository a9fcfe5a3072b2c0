//! The customers in the database, and what clients are told when it fails.

use std::time::Duration;

use service_kit::http::Problem;
use service_kit::postgres::{Pool, PoolError, reason};
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::customer::{Customer, NewCustomer};
use crate::queries;

/// The customers.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pool: Pool,
    limit: Duration,
}

impl Store {
    /// Customers behind `pool`. A statement that takes longer than the server allows, and as long again, is given up: the
    /// server itself does not answer then.
    pub(super) fn new(pool: Pool, statement_timeout: Duration) -> Self {
        Self { pool, limit: statement_timeout * 2 }
    }

    pub(super) async fn list(
        &self,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Customer>, Problem> {
        let query = async {
            let client = self.pool.get().await?;
            let rows = queries::list_customers(&client, after, limit).await?;
            let customers: Result<Vec<Customer>, _> = rows.iter().map(Customer::try_from).collect();
            Ok(customers?)
        };
        self.within_limit(query).await
    }

    pub(super) async fn get(&self, id: Uuid) -> Result<Option<Customer>, Problem> {
        let query = async {
            let client = self.pool.get().await?;
            let row: Option<Row> = queries::get_customer(&client, id).await?;
            Ok(row.as_ref().map(Customer::try_from).transpose()?)
        };
        self.within_limit(query).await
    }

    pub(super) async fn create(&self, new: &NewCustomer) -> Result<Customer, Problem> {
        let query = async {
            let client = self.pool.get().await?;
            let (name, address) = (&new.name.0, &new.address.0);
            let row = queries::insert_customer(&client, Uuid::now_v7(), name, address).await?;
            Ok(Customer::try_from(&row)?)
        };
        self.within_limit(query).await
    }

    pub(super) async fn seed(&self) -> Result<u64, Problem> {
        let query = async {
            let client = self.pool.get().await?;
            Ok(queries::seed_customers(&client).await?)
        };
        self.within_limit(query).await
    }

    async fn within_limit<T>(
        &self,
        query: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Problem> {
        match timeout(self.limit, query).await {
            Ok(result) => result.map_err(StoreError::into_problem),
            Err(_) => Err(unavailable("the database takes too long to answer")),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Query(#[from] tokio_postgres::Error),
}

impl StoreError {
    fn into_problem(self) -> Problem {
        match self {
            Self::Pool(error @ PoolError::Busy) => {
                Problem::unavailable("Too many requests are waiting; try again soon.", error)
            }
            Self::Pool(error) => unavailable(error),
            Self::Query(error) if is_passing(&error) => unavailable(reason(&error)),
            Self::Query(error) => Problem::internal(reason(&error)),
        }
    }
}

fn unavailable(cause: impl std::fmt::Display) -> Problem {
    Problem::unavailable("The database does not answer; try again soon.", cause)
}

/// Whether the database rather than the statement is to blame: the connection, its resources, an operator, a standby, or a
/// schema that is still being made.
fn is_passing(error: &tokio_postgres::Error) -> bool {
    const CLASSES: [&str; 5] = ["08", "53", "55", "57", "58"];
    error.code().is_none_or(|code| {
        *code == SqlState::UNDEFINED_TABLE
            || *code == SqlState::READ_ONLY_SQL_TRANSACTION
            || CLASSES.iter().any(|class| code.code().starts_with(class))
    })
}
