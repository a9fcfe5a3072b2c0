//! The statements of `sql/customer/queries`, one function each.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

/// Locks the customers of a batch until the transaction's end.
pub(crate) const LOCK_CUSTOMERS: &str =
    include_str!("../../sql/customer/queries/lock_customers.sql");

/// Remembers and counts the events of a batch that are new.
pub(crate) const COUNT_EVENTS: &str = include_str!("../../sql/customer/queries/count_events.sql");

pub(crate) async fn lock_customers(
    client: &Client,
    statement: &Statement,
    customer_ids: &[Uuid],
) -> Result<(), Error> {
    client.query(statement, &[&customer_ids]).await.map(drop)
}

pub(crate) async fn count_events(
    client: &Client,
    statement: &Statement,
    event_ids: &[Uuid],
    customer_ids: &[Uuid],
) -> Result<Vec<Row>, Error> {
    client.query(statement, &[&event_ids, &customer_ids]).await
}

pub(crate) async fn list_customers(
    client: &ClientWrapper,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    let text = include_str!("../../sql/customer/queries/list_customers.sql");
    let statement = client.prepare_cached(text).await?;
    client.query(&statement, &[&after, &limit]).await
}

pub(crate) async fn get_customer(client: &ClientWrapper, id: Uuid) -> Result<Option<Row>, Error> {
    let text = include_str!("../../sql/customer/queries/get_customer.sql");
    let statement = client.prepare_cached(text).await?;
    client.query_opt(&statement, &[&id]).await
}

pub(crate) async fn insert_customer(
    client: &ClientWrapper,
    id: Uuid,
    name: &str,
    address: &str,
) -> Result<Row, Error> {
    let text = include_str!("../../sql/customer/queries/insert_customer.sql");
    let statement = client.prepare_cached(text).await?;
    client.query_one(&statement, &[&id, &name, &address]).await
}

pub(crate) async fn seed_customers(client: &ClientWrapper) -> Result<u64, Error> {
    let text = include_str!("../../sql/customer/queries/seed_customers.sql");
    client.execute(text, &[]).await
}
