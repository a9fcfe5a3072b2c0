//! The statements of `sql/customer/queries`, one function or constant each.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use service_kit::postgres::Connection;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

/// Locks the customers of a batch until the transaction ends.
pub(crate) const LOCK_CUSTOMERS: &str =
    include_str!("../../sql/customer/queries/lock_customers.sql");

/// Counts the new events of a batch.
pub(crate) const COUNT_EVENTS: &str = include_str!("../../sql/customer/queries/count_events.sql");

/// Sets the timeouts and planner settings of a counting session.
pub(crate) async fn prepare_session(
    client: &Client,
    statement_timeout: Duration,
    lock_timeout: Duration,
) -> Result<(), Error> {
    let text = include_str!("../../sql/customer/queries/prepare_session.sql");
    let in_ms = |limit: Duration| format!("{}ms", limit.as_millis());
    client.query(text, &[&in_ms(statement_timeout), &in_ms(lock_timeout)]).await.map(drop)
}

/// Returns those customers whose rows another session has locked.
pub(crate) async fn find_locked_customers(
    client: &Client,
    customer_ids: &[Uuid],
) -> Result<HashSet<Uuid>, Error> {
    let text = include_str!("../../sql/customer/queries/find_locked_customers.sql");
    let rows = client.query(text, &[&customer_ids]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

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

/// Takes the pruning lock for the rest of the session. Returns false when another session holds it.
pub(crate) async fn lock_pruning(client: &Client) -> Result<bool, Error> {
    let text = include_str!("../../sql/customer/queries/lock_pruning.sql");
    client.query_one(text, &[]).await?.try_get(0)
}

/// Deletes a batch of old events.
pub(crate) const PRUNE_EVENTS: &str = include_str!("../../sql/customer/queries/prune_events.sql");

/// The result of [`PRUNE_EVENTS`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct PrunedBatch {
    pub(crate) scanned: i64,
    pub(crate) deleted: i64,
    /// When the newest of the scanned events was counted; `None` when there were none.
    pub(crate) newest: Option<SystemTime>,
}

pub(crate) async fn prune_events(
    client: &Client,
    statement: &Statement,
    retention: Duration,
    batch_size: i64,
    from: Option<SystemTime>,
) -> Result<PrunedBatch, Error> {
    let row = client.query_one(statement, &[&retention.as_secs_f64(), &batch_size, &from]).await?;
    Ok(PrunedBatch {
        scanned: row.try_get("scanned")?,
        deleted: row.try_get("deleted")?,
        newest: row.try_get("newest")?,
    })
}

pub(crate) async fn list_customers(
    connection: &Connection,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Row>, Error> {
    let text = include_str!("../../sql/customer/queries/list_customers.sql");
    connection.query(text, &[(&after, Type::UUID), (&limit, Type::INT8)]).await
}

pub(crate) async fn get_customer(connection: &Connection, id: Uuid) -> Result<Option<Row>, Error> {
    let text = include_str!("../../sql/customer/queries/get_customer.sql");
    connection.query_opt(text, &[(&id, Type::UUID)]).await
}

pub(crate) async fn insert_customer(
    connection: &Connection,
    id: Uuid,
    name: &str,
    address: &str,
) -> Result<Row, Error> {
    let text = include_str!("../../sql/customer/queries/insert_customer.sql");
    connection
        .query_one(text, &[(&id, Type::UUID), (&name, Type::TEXT), (&address, Type::TEXT)])
        .await
}

pub(crate) async fn seed_customers(connection: &Connection) -> Result<u64, Error> {
    let text = include_str!("../../sql/customer/queries/seed_customers.sql");
    connection.execute(text, &[]).await
}

/// The server, and the database and role of the session.
#[derive(Debug)]
pub(crate) struct ServerInfo {
    pub(crate) version_number: i32,
    pub(crate) version: String,
    pub(crate) is_standby: bool,
    pub(crate) is_read_only: bool,
    pub(crate) database: String,
    pub(crate) role: String,
}

pub(crate) async fn get_server_info(client: &Client) -> Result<ServerInfo, Error> {
    let text = include_str!("../../sql/customer/queries/get_server_info.sql");
    let row = client.query_one(text, &[]).await?;
    Ok(ServerInfo {
        version_number: row.try_get("version_number")?,
        version: row.try_get("version")?,
        is_standby: row.try_get("is_standby")?,
        is_read_only: row.try_get("is_read_only")?,
        database: row.try_get("database")?,
        role: row.try_get("role")?,
    })
}

/// Returns the columns that the consumer needs and the database lacks.
pub(crate) async fn find_missing_columns(client: &Client) -> Result<Vec<String>, Error> {
    let text = include_str!("../../sql/customer/queries/find_missing_columns.sql");
    let rows = client.query(text, &[]).await?;
    rows.iter().map(|row| row.try_get("missing")).collect()
}

/// Returns the privileges that the role lacks, in the words of `GRANT`.
pub(crate) async fn find_missing_privileges(
    client: &Client,
    prunes: bool,
) -> Result<Vec<String>, Error> {
    let text = include_str!("../../sql/customer/queries/find_missing_privileges.sql");
    let rows = client.query(text, &[&prunes]).await?;
    rows.iter().map(|row| row.try_get("missing")).collect()
}

/// Whether the table holds any customer.
pub(crate) async fn has_customers(client: &Client) -> Result<bool, Error> {
    let text = include_str!("../../sql/customer/queries/has_customers.sql");
    client.query_one(text, &[]).await?.try_get(0)
}
