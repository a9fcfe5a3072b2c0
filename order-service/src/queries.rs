//! The SQL statements of the order database, one function each.

use std::collections::HashMap;

use rust_decimal::Decimal;
use serde_json::Value;
use service_kit::postgres::{Connection, Parameter};
use time::OffsetDateTime;
use tokio_postgres::types::{Json, Type};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use crate::domain::{
    CustomerId, DeliveryAddress, IdempotencyKey, NewOrder, Order, OrderId, OrderToWrite, Price,
    ProductName, Quantity, Status,
};

const CREATE_ORDERS: &str = include_str!("../../sql/order/queries/create_orders.sql");
const FIND_ORDER: &str = include_str!("../../sql/order/queries/find_order.sql");
const FIND_ORDERS: &str = include_str!("../../sql/order/queries/find_orders.sql");
const FIND_ORDER_BY_KEY: &str = include_str!("../../sql/order/queries/find_order_by_key.sql");
const CHANGE_STATUS: &str = include_str!("../../sql/order/queries/change_status.sql");
const LIST: &str = include_str!("../../sql/order/queries/list_orders.sql");
const LIST_BY_CUSTOMER: &str = include_str!("../../sql/order/queries/list_orders_by_customer.sql");
const LIST_BY_STATUS: &str = include_str!("../../sql/order/queries/list_orders_by_status.sql");
const PRUNE_KEYS: &str = include_str!("../../sql/order/queries/prune_idempotency_keys.sql");

/// Which orders are listed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filter {
    pub(crate) customer: Option<CustomerId>,
    pub(crate) status: Option<Status>,
}

/// How long an insert waits for a key that another transaction holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyWait {
    /// 250 ms: all orders of a batch wait.
    Short,
    /// As long as a statement may take.
    Full,
}

impl KeyWait {
    /// The value of `lock_timeout`.
    const fn lock_timeout(self) -> &'static str {
        match self {
            Self::Short => "250ms",
            Self::Full => "0",
        }
    }
}

/// Inserts orders, their events and their keys, which must be distinct. Returns when each was
/// created, by id; orders whose key has created an order already are left out.
pub(crate) async fn create_orders(
    connection: &Connection,
    rows: &[(OrderId, &OrderToWrite)],
    wait: KeyWait,
) -> Result<HashMap<Uuid, OffsetDateTime>, Error> {
    let ids: Vec<Uuid> = rows.iter().map(|(id, _)| id.0).collect();
    let customers: Vec<Uuid> = column(rows, |order| order.new.customer.0);
    let products: Vec<&str> = column(rows, |order| order.new.product_name.0.as_str());
    let quantities: Vec<i32> = column(rows, |order| order.new.quantity.0);
    let prices: Vec<Decimal> = column(rows, |order| order.new.price.0);
    let addresses: Vec<&str> = column(rows, |order| order.new.delivery_address.0.as_str());
    let events: Vec<Uuid> = column(rows, |_| Uuid::now_v7());
    let headers: Vec<Json<&Value>> = column(rows, |order| Json(&order.headers));
    let keys: Vec<Option<&str>> =
        column(rows, |order| order.key.as_ref().map(IdempotencyKey::as_str));
    let created = connection
        .query(
            CREATE_ORDERS,
            &[
                (&ids, Type::UUID_ARRAY),
                (&customers, Type::UUID_ARRAY),
                (&products, Type::TEXT_ARRAY),
                (&quantities, Type::INT4_ARRAY),
                (&prices, Type::NUMERIC_ARRAY),
                (&addresses, Type::TEXT_ARRAY),
                (&events, Type::UUID_ARRAY),
                (&headers, Type::JSONB_ARRAY),
                (&keys, Type::TEXT_ARRAY),
                (&wait.lock_timeout(), Type::TEXT),
            ],
        )
        .await?;
    created.iter().map(|row| Ok((row.try_get("id")?, row.try_get("created_at")?))).collect()
}

fn column<'a, T>(
    rows: &[(OrderId, &'a OrderToWrite)],
    value: impl Fn(&'a OrderToWrite) -> T,
) -> Vec<T> {
    rows.iter().map(|&(_, order)| value(order)).collect()
}

/// Returns the order that a key created.
pub(crate) async fn find_order_by_key(
    connection: &Connection,
    key: &IdempotencyKey,
) -> Result<Option<Order>, Error> {
    optional(connection, FIND_ORDER_BY_KEY, &[(&key.as_str(), Type::TEXT)]).await
}

/// Returns an order.
pub(crate) async fn find_order(
    connection: &Connection,
    id: OrderId,
) -> Result<Option<Order>, Error> {
    optional(connection, FIND_ORDER, &[(&id.0, Type::UUID)]).await
}

/// Returns those of the orders that exist, by id.
pub(crate) async fn find_orders(
    connection: &Connection,
    ids: &[OrderId],
) -> Result<HashMap<Uuid, Order>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = connection.query(FIND_ORDERS, &[(&ids, Type::UUID_ARRAY)]).await?;
    rows.iter().map(|row| order(row).map(|order| (order.id.0, order))).collect()
}

/// Changes an order's status and inserts the event. Returns `None` if there is no such order in a
/// status from which that is allowed.
pub(crate) async fn change_status(
    connection: &Connection,
    id: OrderId,
    status: Status,
    headers: &Value,
) -> Result<Option<Order>, Error> {
    let (before, event, headers) = (status.before(), Uuid::now_v7(), Json(headers));
    let parameters: [Parameter<'_>; 5] = [
        (&id.0, Type::UUID),
        (&status.as_str(), Type::TEXT),
        (&before, Type::TEXT_ARRAY),
        (&event, Type::UUID),
        (&headers, Type::JSONB),
    ];
    optional(connection, CHANGE_STATUS, &parameters).await
}

/// Returns at most `rows` orders older than `before`, newest first.
pub(crate) async fn list_orders(
    connection: &Connection,
    filter: Filter,
    before: Uuid,
    rows: i64,
) -> Result<Vec<Order>, Error> {
    let page: [Parameter<'_>; 2] = [(&before, Type::UUID), (&rows, Type::INT8)];
    let status = filter.status.map(Status::as_str);
    let rows = match (filter.customer, status) {
        (Some(customer), status) => {
            let statuses = status.map_or(Status::ALL.map(Status::as_str).to_vec(), |one| vec![one]);
            let [before, rows] = page;
            let parameters =
                [before, rows, (&customer.0, Type::UUID), (&statuses, Type::TEXT_ARRAY)];
            connection.query(LIST_BY_CUSTOMER, &parameters).await?
        }
        (None, Some(status)) => {
            let newest = Uuid::from_u128(before.as_u128().saturating_sub(1));
            let [_, rows] = page;
            let parameters = [(&newest as _, Type::UUID), rows, (&status as _, Type::TEXT)];
            connection.query(LIST_BY_STATUS, &parameters).await?
        }
        (None, None) => connection.query(LIST, &page).await?,
    };
    rows.iter().map(order).collect()
}

/// Deletes at most `batch` expired keys and returns their number.
pub(crate) async fn prune_idempotency_keys(
    connection: &Connection,
    batch: i64,
) -> Result<u64, Error> {
    connection.execute(PRUNE_KEYS, &[(&batch, Type::INT8)]).await
}

async fn optional(
    connection: &Connection,
    sql: &str,
    parameters: &[Parameter<'_>],
) -> Result<Option<Order>, Error> {
    let row = connection.query_opt(sql, parameters).await?;
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
