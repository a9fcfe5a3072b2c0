//! The customers in the database.

use service_kit::postgres::{Database, DatabaseError};
use uuid::Uuid;

use super::customer::{Customer, NewCustomer};
use crate::queries;

/// The customers.
#[derive(Debug, Clone)]
pub(super) struct Store {
    database: Database,
}

impl Store {
    /// The customers in `database`.
    pub(super) const fn new(database: Database) -> Self {
        Self { database }
    }

    pub(super) async fn list(
        &self,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Customer>, DatabaseError> {
        self.database
            .with(async |client| {
                let rows = queries::list_customers(client, after, limit).await?;
                rows.iter().map(Customer::try_from).collect()
            })
            .await
    }

    pub(super) async fn get(&self, id: Uuid) -> Result<Option<Customer>, DatabaseError> {
        self.database
            .with(async |client| {
                let row = queries::get_customer(client, id).await?;
                row.as_ref().map(Customer::try_from).transpose()
            })
            .await
    }

    pub(super) async fn create(&self, new: &NewCustomer) -> Result<Customer, DatabaseError> {
        self.database
            .with(async |client| {
                let (name, address) = (&new.name.0, &new.address.0);
                let row = queries::insert_customer(client, Uuid::now_v7(), name, address).await?;
                Customer::try_from(&row)
            })
            .await
    }

    /// Loads the customers of development; says how many of them were new.
    pub(super) async fn seed(&self) -> Result<u64, DatabaseError> {
        self.database.with(async |client| queries::seed_customers(client).await).await
    }
}
