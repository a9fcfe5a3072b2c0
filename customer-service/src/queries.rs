//! The statements of `sql/customer/queries`, one function each.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use service_kit::postgres::Connection;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

/// Locks the customers of a batch until the transaction's end.
pub(crate) const LOCK_CUSTOMERS: &str =
    include_str!("../../sql/customer/queries/lock_customers.sql");

/// Remembers and counts the events of a batch that are new.
pub(crate) const COUNT_EVENTS: &str = include_str!("../../sql/customer/queries/count_events.sql");

/// Sets the limits of a session that counts.
pub(crate) async fn prepare_session(
    client: &Client,
    statement_timeout: Duration,
    lock_timeout: Duration,
) -> Result<(), Error> {
    let text = include_str!("../../sql/customer/queries/prepare_session.sql");
    let in_ms = |limit: Duration| format!("{}ms", limit.as_millis());
    client.query(text, &[&in_ms(statement_timeout), &in_ms(lock_timeout)]).await.map(drop)
}

/// Those customers whose rows somebody else has locked.
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

/// Keeps other consumers from pruning, for as long as this session lasts.
pub(crate) async fn lock_pruning(client: &Client) -> Result<bool, Error> {
    let text = include_str!("../../sql/customer/queries/lock_pruning.sql");
    client.query_one(text, &[]).await?.try_get(0)
}

/// Forgets some old events.
pub(crate) const PRUNE_EVENTS: &str = include_str!("../../sql/customer/queries/prune_events.sql");

/// What a pruning statement did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    pub(crate) looked_at: i64,
    pub(crate) deleted: i64,
    /// None when there was nothing to look at.
    pub(crate) latest: Option<SystemTime>,
}

pub(crate) async fn prune_events(
    client: &Client,
    statement: &Statement,
    retention: Duration,
    limit: i64,
    since: Option<SystemTime>,
) -> Result<Slice, Error> {
    let row = client.query_one(statement, &[&retention.as_secs_f64(), &limit, &since]).await?;
    Ok(Slice {
        looked_at: row.try_get("looked_at")?,
        deleted: row.try_get("deleted")?,
        latest: row.try_get("latest")?,
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

/// What the server says of itself.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) version_number: i32,
    pub(crate) version: String,
    pub(crate) is_standby: bool,
    pub(crate) is_read_only: bool,
    pub(crate) database: String,
    pub(crate) role: String,
}

pub(crate) async fn check_server(client: &Client) -> Result<Server, Error> {
    let text = include_str!("../../sql/customer/queries/check_server.sql");
    let row = client.query_one(text, &[]).await?;
    Ok(Server {
        version_number: row.try_get("version_number")?,
        version: row.try_get("version")?,
        is_standby: row.try_get("is_standby")?,
        is_read_only: row.try_get("is_read_only")?,
        database: row.try_get("database")?,
        role: row.try_get("role")?,
    })
}

/// The columns that counting needs and that are not there.
pub(crate) async fn check_schema(client: &Client) -> Result<Vec<String>, Error> {
    let text = include_str!("../../sql/customer/queries/check_schema.sql");
    let rows = client.query(text, &[]).await?;
    rows.iter().map(|row| row.try_get("missing")).collect()
}

/// What the role lacks, as GRANT says it.
pub(crate) async fn check_privileges(client: &Client, prunes: bool) -> Result<Vec<String>, Error> {
    let text = include_str!("../../sql/customer/queries/check_privileges.sql");
    let rows = client.query(text, &[&prunes]).await?;
    rows.iter().map(|row| row.try_get("lacks")).collect()
}

/// Whether there is any customer.
pub(crate) async fn check_customers(client: &Client) -> Result<bool, Error> {
    let text = include_str!("../../sql/customer/queries/check_customers.sql");
    client.query_one(text, &[]).await?.try_get(0)
}
