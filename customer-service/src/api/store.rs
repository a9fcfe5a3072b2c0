//! Customers in the database.

use service_kit::postgres::{Connection, Database, DatabaseError};
use uuid::Uuid;

use super::request::NewCustomer;
use super::response::Customer;
use crate::queries;

/// Reads and writes customers.
#[derive(Debug, Clone)]
pub(super) struct Store {
    database: Database,
}

impl Store {
    /// Creates a store over `database`.
    pub(super) const fn new(database: Database) -> Self {
        Self { database }
    }

    /// Returns at most `limit` customers with ids above `after`, ordered by id.
    pub(super) async fn list(
        &self,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Customer>, DatabaseError> {
        let after = after.unwrap_or(Uuid::nil());
        self.database
            .read("list_customers", async |connection| {
                let rows = queries::list_customers(connection, after, limit).await?;
                rows.iter().map(Customer::try_from).collect()
            })
            .await
    }

    pub(super) async fn get(&self, id: Uuid) -> Result<Option<Customer>, DatabaseError> {
        self.database
            .read("get_customer", async |connection| {
                let row = queries::get_customer(connection, id).await?;
                row.as_ref().map(Customer::try_from).transpose()
            })
            .await
    }

    /// Creates a customer. It is finished also when the returned future is dropped.
    pub(super) async fn create(&self, new: NewCustomer) -> Result<Customer, DatabaseError> {
        let database = self.database.clone();
        let creating = async move {
            let (id, name, address) = (Uuid::now_v7(), &new.name.0, &new.address.0);
            let insert = async |connection: &Connection| {
                let row = queries::insert_customer(connection, id, name, address).await?;
                Customer::try_from(&row)
            };
            database.write("insert_customer", insert).await
        };
        self.database.finish(creating).await
    }

    /// Finishes running operations and closes the connections.
    pub(super) async fn close(&self) {
        self.database.close().await;
    }

    /// Loads the seed data and returns how many customers were new.
    pub(super) async fn seed(&self) -> Result<u64, DatabaseError> {
        self.database
            .write("seed_customers", async |connection| queries::seed_customers(connection).await)
            .await
    }
}
