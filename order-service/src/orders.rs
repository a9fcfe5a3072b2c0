//! What can be done with orders, each in one statement and so in one transaction with its event. New orders that wait at the same
//! moment share a statement.

use serde_json::Value;
use service_kit::postgres::{Database, DatabaseError};
use uuid::Uuid;

use crate::domain::{IdempotencyKey, NewOrder, Order, OrderId, PendingOrder, Status};
use crate::group_commit::{BatchOutcome, OrderQueue, WriteError};
use crate::idempotency::CreateOutcome;
use crate::metrics;
use crate::queries::{self, Filter};

/// How a status change ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StatusChange {
    /// The order as it is now.
    Done(Order),
    /// There is no such order.
    NotFound,
    /// The order can't go there from this status.
    NotAllowedFrom(Status),
}

/// How often a statement that lost a race is tried again before the last outcome is told as it is.
const MAX_ATTEMPTS: usize = 3;

/// Writes an order, its event and its key together with others that wait at the same moment, or by itself when they can't be
/// written together. From then on it is written even if nobody waits for it.
pub(crate) async fn create(
    database: &Database,
    queue: &OrderQueue,
    pending: PendingOrder,
) -> Result<CreateOutcome, WriteError> {
    let pending = match queue.write(pending).await? {
        BatchOutcome::Done(outcome) => return Ok(outcome),
        BatchOutcome::RetryAlone(pending) => pending,
    };
    let (own, queue) = (database.clone(), queue.clone());
    let writing = async move {
        let _permit = queue.acquire_single_write().await?;
        Ok(create_single(&own, &pending).await?)
    };
    database.finish(writing).await
}

async fn create_single(
    database: &Database,
    pending: &PendingOrder,
) -> Result<CreateOutcome, DatabaseError> {
    if let Some(key) = &pending.key {
        return create_with_key(database, pending, key).await;
    }
    let id = OrderId(Uuid::now_v7());
    let order = database
        .write(async |connection| queries::create_order(connection, id, pending).await)
        .await?;
    metrics::created(1);
    Ok(CreateOutcome::Created(order))
}

/// What the key has made, if it has; told apart by whether `new` is the same body.
pub(crate) async fn find_by_key(
    database: &Database,
    new: &NewOrder,
    key: &IdempotencyKey,
) -> Result<Option<CreateOutcome>, DatabaseError> {
    let found =
        database.read(async |connection| queries::find_order_by_key(connection, key).await).await?;
    Ok(found.map(|order| CreateOutcome::of_replay(order, new)))
}

/// Writes an order, its event and its key; of several at once with the same key, one does and the others wait for it.
async fn create_with_key(
    database: &Database,
    pending: &PendingOrder,
    key: &IdempotencyKey,
) -> Result<CreateOutcome, DatabaseError> {
    let id = OrderId(Uuid::now_v7());
    // A key may grow too old between the two statements: then the next try takes it.
    for _ in 0..MAX_ATTEMPTS {
        let created = database
            .write(async |connection| {
                queries::create_order_once(connection, id, pending, key).await
            })
            .await?;
        if let Some(order) = created {
            metrics::created(1);
            return Ok(CreateOutcome::Created(order));
        }
        if let Some(outcome) = find_by_key(database, &pending.new, key).await? {
            return Ok(outcome);
        }
    }
    Ok(CreateOutcome::OrderMissing)
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
) -> Result<StatusChange, DatabaseError> {
    let own = database.clone();
    database.finish(async move { try_change_status(&own, id, status, &headers).await }).await
}

async fn try_change_status(
    database: &Database,
    id: OrderId,
    status: Status,
    headers: &Value,
) -> Result<StatusChange, DatabaseError> {
    let mut last = StatusChange::NotFound;
    // Between the two statements the order may come to where the change is allowed: then the next try makes it.
    for _ in 0..MAX_ATTEMPTS {
        let changed = database
            .write(async |connection| queries::change_status(connection, id, status, headers).await)
            .await?;
        if let Some(order) = changed {
            metrics::changed(status);
            return Ok(StatusChange::Done(order));
        }
        match find(database, id).await? {
            None => return Ok(StatusChange::NotFound),
            Some(order) if order.status == status => return Ok(StatusChange::Done(order)),
            Some(order) => last = StatusChange::NotAllowedFrom(order.status),
        }
        if !matches!(last, StatusChange::NotAllowedFrom(from) if from.next().contains(&status)) {
            break;
        }
    }
    Ok(last)
}
