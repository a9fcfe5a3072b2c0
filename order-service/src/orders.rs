//! What can be done with orders, each in one statement and so in one transaction with its event. New orders that wait at the same
//! moment share a statement.

use serde_json::Value;
use service_kit::postgres::{Database, DatabaseError};
use uuid::Uuid;

use crate::domain::{NewOrder, Order, OrderId, Status};
use crate::idempotency::{IdempotencyKey, Once};
use crate::joined::{Asked, Queue, WriteError, Written};
use crate::metrics;
use crate::queries::{self, Filter};

/// How a status change ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The order as it is now.
    Done(Order),
    /// There is no such order.
    NotFound,
    /// The order can't go there from this status.
    NotFrom(Status),
}

/// How often a statement that lost a race is tried again before the last outcome is told as it is.
const TRIES: usize = 3;

/// Writes an order, its event and its key together with others that wait at the same moment, or by itself when they can't be
/// written together. From then on it is written even if nobody waits for it.
pub(crate) async fn create(
    database: &Database,
    queue: &Queue,
    asked: Asked,
) -> Result<Once, WriteError> {
    match queue.write(asked).await? {
        Written::Done(once) => Ok(once),
        // In a box: few orders come here, and each one's future would have room for it.
        Written::Alone(asked) => Box::pin(create_in_turn(database, queue, asked)).await,
    }
}

/// Writes an order by itself when its turn has come.
async fn create_in_turn(
    database: &Database,
    queue: &Queue,
    asked: Asked,
) -> Result<Once, WriteError> {
    let (own, queue) = (database.clone(), queue.clone());
    let writing = async move {
        let _turn = queue.alone().await?;
        Ok(create_alone(&own, &asked).await?)
    };
    database.finish(writing).await
}

async fn create_alone(database: &Database, asked: &Asked) -> Result<Once, DatabaseError> {
    let (new, headers) = (&asked.new, &asked.headers);
    if let Some(key) = &asked.key {
        return create_once(database, new, headers, key).await;
    }
    let id = OrderId(Uuid::now_v7());
    let order = database
        .write(async |connection| queries::create_order(connection, id, new, headers).await)
        .await?;
    metrics::created(1);
    Ok(Once::Created(order))
}

/// What the key has made, if it has; told apart by whether `new` is the same body.
pub(crate) async fn find_by_key(
    database: &Database,
    new: &NewOrder,
    key: &IdempotencyKey,
) -> Result<Option<Once>, DatabaseError> {
    let found =
        database.read(async |connection| queries::find_order_by_key(connection, key).await).await?;
    Ok(found.map(|order| Once::again(order, new)))
}

/// Writes an order, its event and its key; of several at once with the same key, one does and the others wait for it.
async fn create_once(
    database: &Database,
    new: &NewOrder,
    headers: &Value,
    key: &IdempotencyKey,
) -> Result<Once, DatabaseError> {
    let id = OrderId(Uuid::now_v7());
    // A key may grow too old between the two statements: then the next try takes it.
    for _ in 0..TRIES {
        let created = database
            .write(async |connection| {
                queries::create_order_once(connection, id, new, headers, key).await
            })
            .await?;
        if let Some(order) = created {
            metrics::created(1);
            return Ok(Once::Created(order));
        }
        if let Some(once) = find_by_key(database, new, key).await? {
            return Ok(once);
        }
    }
    Ok(Once::OrderGone)
}

/// One order.
pub(crate) async fn find(database: &Database, id: OrderId) -> Result<Option<Order>, DatabaseError> {
    database.read(async |connection| queries::find_order(connection, id).await).await
}

/// At most `rows` orders, those after `cursor`, newest first.
pub(crate) async fn list(
    database: &Database,
    filter: Filter,
    cursor: Option<Uuid>,
    rows: i64,
) -> Result<Vec<Order>, DatabaseError> {
    let before = cursor.unwrap_or(Uuid::max());
    database
        .read(async |connection| queries::list_orders(connection, filter, before, rows).await)
        .await
}

/// Moves an order to `status` and writes the event, even if nobody waits for it any more. One that is there already stays as it is: the
/// answer to the first request may have been lost on its way.
pub(crate) async fn change_status(
    database: &Database,
    id: OrderId,
    status: Status,
    headers: Value,
) -> Result<Change, DatabaseError> {
    let own = database.clone();
    database.finish(async move { try_to_change(&own, id, status, &headers).await }).await
}

async fn try_to_change(
    database: &Database,
    id: OrderId,
    status: Status,
    headers: &Value,
) -> Result<Change, DatabaseError> {
    let mut last = Change::NotFound;
    // Between the two statements the order may come to where the change is allowed: then the next try makes it.
    for _ in 0..TRIES {
        let changed = database
            .write(async |connection| queries::change_status(connection, id, status, headers).await)
            .await?;
        if let Some(order) = changed {
            metrics::changed(status);
            return Ok(Change::Done(order));
        }
        match find(database, id).await? {
            None => return Ok(Change::NotFound),
            Some(order) if order.status == status => return Ok(Change::Done(order)),
            Some(order) => last = Change::NotFrom(order.status),
        }
        if !matches!(last, Change::NotFrom(from) if from.next().contains(&status)) {
            break;
        }
    }
    Ok(last)
}
