//! The statements of the order database, one function each.

use std::collections::HashMap;

use deadpool_postgres::Object;
use rust_decimal::Decimal;
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use crate::domain::{
    CustomerId, DeliveryAddress, NewOrder, Order, OrderId, Price, ProductName, Quantity, Status,
};
use crate::idempotency::IdempotencyKey;

const CREATE_ORDER: &str = include_str!("../../sql/order/queries/create_order.sql");
const CREATE_ORDER_ONCE: &str = include_str!("../../sql/order/queries/create_order_once.sql");
const CREATE_ORDERS: &str = include_str!("../../sql/order/queries/create_orders.sql");
const FIND_ORDER: &str = include_str!("../../sql/order/queries/find_order.sql");
const FIND_ORDERS: &str = include_str!("../../sql/order/queries/find_orders.sql");
const FIND_ORDER_BY_KEY: &str = include_str!("../../sql/order/queries/find_order_by_key.sql");
const CHANGE_STATUS: &str = include_str!("../../sql/order/queries/change_status.sql");
const LIST: &str = include_str!("../../sql/order/queries/list_orders.sql");
const LIST_BY_CUSTOMER: &str = include_str!("../../sql/order/queries/list_orders_by_customer.sql");
const LIST_BY_STATUS: &str = include_str!("../../sql/order/queries/list_orders_by_status.sql");
const LIST_BY_BOTH: &str =
    include_str!("../../sql/order/queries/list_orders_by_customer_and_status.sql");
const PRUNE_KEYS: &str = include_str!("../../sql/order/queries/prune_idempotency_keys.sql");

/// Which orders a list shows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filter {
    pub(crate) customer: Option<CustomerId>,
    pub(crate) status: Option<Status>,
}

/// One of several orders to be written together.
#[derive(Debug)]
pub(crate) struct NewRow<'a> {
    pub(crate) id: OrderId,
    pub(crate) new: &'a NewOrder,
    pub(crate) headers: &'a Value,
    pub(crate) key: Option<&'a IdempotencyKey>,
}

/// Writes an order and its event.
pub(crate) async fn create_order(
    client: &Object,
    id: OrderId,
    new: &NewOrder,
    headers: &Value,
) -> Result<Order, Error> {
    let (event, headers) = (Uuid::now_v7(), Json(headers));
    let statement = client.prepare_cached(CREATE_ORDER).await?;
    let row = client
        .query_one(
            &statement,
            &[
                &id.0,
                &new.customer.0,
                &new.product_name.0,
                &new.quantity.0,
                &new.price.0,
                &new.delivery_address.0,
                &event,
                &headers,
            ],
        )
        .await?;
    order(&row)
}

/// Writes an order, its event and its key; nothing when the key has made an order already.
pub(crate) async fn create_order_once(
    client: &Object,
    id: OrderId,
    new: &NewOrder,
    headers: &Value,
    key: &IdempotencyKey,
) -> Result<Option<Order>, Error> {
    let (event, headers) = (Uuid::now_v7(), Json(headers));
    let statement = client.prepare_cached(CREATE_ORDER_ONCE).await?;
    let row = client
        .query_opt(
            &statement,
            &[
                &id.0,
                &new.customer.0,
                &new.product_name.0,
                &new.quantity.0,
                &new.price.0,
                &new.delivery_address.0,
                &event,
                &headers,
                &key.as_str(),
            ],
        )
        .await?;
    row.as_ref().map(order).transpose()
}

/// Writes orders, their events and their keys, of which no two may be the same; tells by their ids when each was made. Those whose
/// key has made an order already are left out.
pub(crate) async fn create_orders(
    client: &Object,
    rows: &[NewRow<'_>],
) -> Result<HashMap<Uuid, OffsetDateTime>, Error> {
    let ids: Vec<Uuid> = column(rows, |row| row.id.0);
    let customers: Vec<Uuid> = column(rows, |row| row.new.customer.0);
    let products: Vec<&str> = column(rows, |row| row.new.product_name.0.as_str());
    let quantities: Vec<i32> = column(rows, |row| row.new.quantity.0);
    let prices: Vec<Decimal> = column(rows, |row| row.new.price.0);
    let addresses: Vec<&str> = column(rows, |row| row.new.delivery_address.0.as_str());
    let events: Vec<Uuid> = column(rows, |_| Uuid::now_v7());
    let headers: Vec<Json<&Value>> = column(rows, |row| Json(row.headers));
    let keys: Vec<Option<&str>> = column(rows, |row| row.key.map(IdempotencyKey::as_str));
    let statement = client.prepare_cached(CREATE_ORDERS).await?;
    let made = client
        .query(
            &statement,
            &[
                &ids,
                &customers,
                &products,
                &quantities,
                &prices,
                &addresses,
                &events,
                &headers,
                &keys,
            ],
        )
        .await?;
    made.iter().map(|row| Ok((row.try_get("id")?, row.try_get("created_at")?))).collect()
}

fn column<'a, T>(rows: &[NewRow<'a>], value: impl Fn(&NewRow<'a>) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// The order that a key made.
pub(crate) async fn find_order_by_key(
    client: &Object,
    key: &IdempotencyKey,
) -> Result<Option<Order>, Error> {
    optional(client, FIND_ORDER_BY_KEY, &[&key.as_str()]).await
}

/// One order.
pub(crate) async fn find_order(client: &Object, id: OrderId) -> Result<Option<Order>, Error> {
    optional(client, FIND_ORDER, &[&id.0]).await
}

/// Those of several orders that there are, by their ids.
pub(crate) async fn find_orders(
    client: &Object,
    ids: &[OrderId],
) -> Result<HashMap<Uuid, Order>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let statement = client.prepare_cached(FIND_ORDERS).await?;
    let rows = client.query(&statement, &[&ids]).await?;
    rows.iter().map(|row| order(row).map(|order| (order.id.0, order))).collect()
}

/// Moves an order to `status` when it is in one that leads there, and writes the event; else nothing.
pub(crate) async fn change_status(
    client: &Object,
    id: OrderId,
    status: Status,
    headers: &Value,
) -> Result<Option<Order>, Error> {
    let (before, event, headers) = (status.before(), Uuid::now_v7(), Json(headers));
    optional(client, CHANGE_STATUS, &[&id.0, &status.as_str(), &before, &event, &headers]).await
}

/// At most `rows` orders older than `before`, newest first.
pub(crate) async fn list_orders(
    client: &Object,
    filter: Filter,
    before: Uuid,
    rows: i64,
) -> Result<Vec<Order>, Error> {
    let customer = filter.customer.map(|customer| customer.0);
    let status = filter.status.map(Status::as_str);
    let (sql, parameters): (_, Vec<&(dyn ToSql + Sync)>) = match (&customer, &status) {
        (None, None) => (LIST, vec![&before, &rows]),
        (Some(customer), None) => (LIST_BY_CUSTOMER, vec![&before, &rows, customer]),
        (None, Some(status)) => (LIST_BY_STATUS, vec![&before, &rows, status]),
        (Some(customer), Some(status)) => (LIST_BY_BOTH, vec![&before, &rows, customer, status]),
    };
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, &parameters).await?;
    rows.iter().map(order).collect()
}

/// Forgets at most `batch` keys that are older than their retention; says how many.
pub(crate) async fn prune_idempotency_keys(client: &Object, batch: i64) -> Result<u64, Error> {
    let statement = client.prepare_cached(PRUNE_KEYS).await?;
    client.execute(&statement, &[&batch]).await
}

async fn optional(
    client: &Object,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Option<Order>, Error> {
    let statement = client.prepare_cached(sql).await?;
    let row = client.query_opt(&statement, parameters).await?;
    row.as_ref().map(order).transpose()
}

fn order(row: &Row) -> Result<Order, Error> {
    Ok(Order {
        id: OrderId(row.try_get("id")?),
        ordered: NewOrder {
            customer: CustomerId(row.try_get("customer_public_id")?),
            product_name: ProductName(row.try_get("product_name")?),
            quantity: Quantity(row.try_get("quantity")?),
            price: Price(row.try_get("price")?),
            delivery_address: DeliveryAddress(row.try_get("delivery_address")?),
        },
        status: row.try_get("status")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
