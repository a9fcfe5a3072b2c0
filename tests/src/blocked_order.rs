//! Blocks one order in the database, so that further orders queue behind it.

use anyhow::Context as _;
use futures_util::future::try_join_all;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Transaction};

use crate::order_api::{OrderApi, accepted, order};
use crate::outbox::eventually;

/// The header of an idempotency key.
pub const KEY: &str = "Idempotency-Key";

/// Settings of an order service whose orders wait for as long as a test blocks them.
pub const PATIENT: [&str; 6] = [
    "--customer-check",
    "off",
    "--database-pool-wait",
    "60s",
    "--database-statement-timeout",
    "60s",
];

/// An order with this quantity, which identifies it.
#[must_use]
pub fn quantity(quantity: i32) -> Value {
    let mut body = order();
    body["order"]["quantity"] = json!(quantity);
    body
}

/// Sends each order, with its key, from its own task.
#[must_use]
pub fn send(
    api: &OrderApi,
    orders: &[(Value, Option<&str>)],
) -> Vec<JoinHandle<anyhow::Result<Response>>> {
    let posts = orders.iter().map(|(body, key)| match key {
        Some(key) => api.post(body).header(KEY, *key),
        None => api.post(body),
    });
    posts.map(|post| tokio::spawn(async move { Ok(post.send().await?) })).collect()
}

/// The value of a metric of the service.
///
/// # Errors
/// When it says nothing of the kind.
pub async fn metric(api: &OrderApi, name: &str) -> anyhow::Result<i64> {
    let text = api.http.get(format!("{}/metrics", api.ops_url)).send().await?.text().await?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {name}"))?.parse()?)
}

/// Waits until this many orders are queued behind the blocked one.
///
/// # Errors
/// When they do not in time.
pub async fn waiting(api: &OrderApi, orders: usize) -> anyhow::Result<()> {
    let orders = i64::try_from(orders)?;
    eventually("they wait", async || Ok(metric(api, "orders_waiting").await? == orders)).await
}

/// Waits until a statement waits for the lock on this database's `orders`.
///
/// # Errors
/// When none does in time.
pub async fn until_order_blocked(sql: &Transaction<'_>) -> anyhow::Result<()> {
    let query = "SELECT count(*) FROM pg_locks
                 WHERE NOT granted AND relation = 'orders'::regclass
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually("an order is held up", async || {
        Ok(sql.query_one(query, &[]).await?.get::<_, i64>(0) > 0)
    })
    .await
}

/// Sends an order that blocks, queues `orders` behind it, then unblocks them and returns their
/// responses.
///
/// # Errors
/// When the service does not take the first one, or does not answer.
pub async fn post_behind_blocked(
    api: &OrderApi,
    sql: &mut Client,
    orders: &[(Value, Option<&str>)],
) -> anyhow::Result<Vec<Response>> {
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN SHARE MODE").await?;
    let first = send(api, &[(order(), None)]);
    until_order_blocked(&lock).await?;
    let rest = send(api, orders);
    waiting(api, orders.len()).await?;
    lock.rollback().await?;
    for answer in try_join_all(first).await? {
        accepted(answer?).await?;
    }
    try_join_all(rest).await?.into_iter().collect()
}
