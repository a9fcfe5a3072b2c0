//! The customers in the database, and what clients are told when it fails.

use std::time::Duration;

use deadpool_postgres::Object;
use service_kit::http::Problem;
use service_kit::postgres::{Pool, PoolError, reason};
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::customer::{Customer, NewCustomer};
use crate::queries;

/// How much longer than the server's own limit a statement is waited for: only one that hangs gets here.
const MARGIN: Duration = Duration::from_secs(1);

/// The customers.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pool: Pool,
    patience: Duration,
}

impl Store {
    /// Customers behind `pool`, whose server ends statements after `statement_timeout`.
    pub(super) const fn new(pool: Pool, statement_timeout: Duration) -> Self {
        Self { pool, patience: statement_timeout.saturating_add(MARGIN) }
    }

    pub(super) async fn list(
        &self,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Customer>, Problem> {
        self.with(async |client| {
            let rows = queries::list_customers(client, after, limit).await?;
            rows.iter().map(Customer::try_from).collect()
        })
        .await
    }

    pub(super) async fn get(&self, id: Uuid) -> Result<Option<Customer>, Problem> {
        self.with(async |client| {
            let row = queries::get_customer(client, id).await?;
            row.as_ref().map(Customer::try_from).transpose()
        })
        .await
    }

    pub(super) async fn create(&self, new: &NewCustomer) -> Result<Customer, Problem> {
        self.with(async |client| {
            let (name, address) = (&new.name.0, &new.address.0);
            let row = queries::insert_customer(client, Uuid::now_v7(), name, address).await?;
            Customer::try_from(&row)
        })
        .await
    }

    /// Loads the customers of development; says how many of them were new.
    pub(super) async fn seed(&self) -> Result<u64, Problem> {
        self.with(async |client| queries::seed_customers(client).await).await
    }

    /// Does `work` with a connection of its own, for a bounded time.
    async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&Object) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Problem> {
        let client = self.pool.get().await.map_err(|error| match error {
            PoolError::Busy => {
                Problem::unavailable("Too many requests at once; try again soon.", error)
            }
            PoolError::Down(_) => unavailable(error),
        })?;
        match tokio::time::timeout(self.patience, work(&client)).await {
            Ok(Err(error)) if is_passing(&error) => Err(unavailable(reason(&error))),
            Ok(result) => result.map_err(|error| Problem::internal(reason(&error))),
            Err(_) => {
                // Whoever got this connection next would wait behind the statement: close it.
                drop(Object::take(client));
                Err(unavailable("a statement got no answer in time"))
            }
        }
    }
}

fn unavailable(cause: impl std::fmt::Display) -> Problem {
    Problem::unavailable(
        "The database does not answer; try again soon. A change that was asked for may have been made all the same.",
        cause,
    )
}

/// Whether another try may succeed: the line broke, resources are short, an operator stopped something, the server is a
/// standby, or the schema is still being made (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn is_passing(error: &tokio_postgres::Error) -> bool {
    error.code().is_none_or(|code| {
        ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.code().starts_with(class))
            || [
                SqlState::READ_ONLY_SQL_TRANSACTION,
                SqlState::UNDEFINED_TABLE,
                SqlState::UNDEFINED_COLUMN,
            ]
            .contains(code)
    })
}
