//! The operations on orders. Each is one statement, so an order and its event share a transaction;
//! new orders that are queued at the same moment share a statement.

use serde_json::Value;
use service_kit::postgres::{Database, DatabaseError};
use uuid::Uuid;

use crate::domain::{IdempotencyKey, NewOrder, Order, OrderId, OrderToWrite, Status};
use crate::group_commit::{BatchOutcome, OrderQueue, WriteError};
use crate::idempotency::CreateOutcome;
use crate::metrics;
use crate::queries::{self, Filter, KeyWait};

/// The outcome of a status change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StatusChange {
    /// The order has the status now.
    Done(Order),
    /// There is no such order.
    NotFound,
    /// The order is in this status, from which the change is not allowed.
    NotAllowedFrom(Status),
}

/// The most attempts at a statement that loses races.
const MAX_ATTEMPTS: usize = 3;

/// Creates an order with its event and its key: in a batch, or on its own if the batch is rejected.
/// Once it is on its own, dropping the future does not cancel the write.
pub(crate) async fn create(
    database: &Database,
    queue: &OrderQueue,
    order: OrderToWrite,
) -> Result<CreateOutcome, WriteError> {
    match queue.write(order).await? {
        BatchOutcome::Done(outcome) => Ok(outcome),
        // Boxed: few orders come here, and the future of each would have room for it.
        BatchOutcome::RetryAlone(order) => {
            Box::pin(create_after_rejection(database, queue, order)).await
        }
    }
}

/// Creates an order on its own once there is a permit.
async fn create_after_rejection(
    database: &Database,
    queue: &OrderQueue,
    order: OrderToWrite,
) -> Result<CreateOutcome, WriteError> {
    let (own, queue) = (database.clone(), queue.clone());
    let writing = async move {
        let _permit = queue.acquire_single_write().await?;
        create_single(&own, &order).await
    };
    database.finish(writing).await
}

/// Creates an order with its event and its key. Of concurrent requests with the same key, one
/// creates the order and the others wait for it.
async fn create_single(
    database: &Database,
    order: &OrderToWrite,
) -> Result<CreateOutcome, WriteError> {
    let id = OrderId(Uuid::now_v7());
    let rows = [(id, order)];
    // The key may expire between the two statements; the next attempt can claim it then.
    for _ in 0..MAX_ATTEMPTS {
        let created = database
            .write("create_orders", async |connection| {
                queries::create_orders(connection, &rows, KeyWait::Full).await
            })
            .await?;
        if let Some(&created_at) = created.get(&id.0) {
            metrics::created(1);
            let stored = Order::created(id, order.new.clone(), created_at);
            return Ok(CreateOutcome::Created(stored));
        }
        let Some(key) = &order.key else {
            return Err(WriteError::NotStored);
        };
        if let Some(outcome) = find_by_key(database, &order.new, key).await? {
            return Ok(outcome);
        }
    }
    Ok(CreateOutcome::OrderMissing)
}

/// Returns the outcome for `new` if the key has created an order before.
pub(crate) async fn find_by_key(
    database: &Database,
    new: &NewOrder,
    key: &IdempotencyKey,
) -> Result<Option<CreateOutcome>, DatabaseError> {
    let found = database
        .read("find_order_by_key", async |connection| {
            queries::find_order_by_key(connection, key).await
        })
        .await?;
    Ok(found.map(|order| CreateOutcome::of_replay(order, new)))
}

/// Returns an order.
pub(crate) async fn find(database: &Database, id: OrderId) -> Result<Option<Order>, DatabaseError> {
    database.read("find_order", async |connection| queries::find_order(connection, id).await).await
}

/// Returns at most `rows` orders, newest first, beginning after `cursor`.
pub(crate) async fn list(
    database: &Database,
    filter: Filter,
    cursor: Option<Uuid>,
    rows: i64,
) -> Result<Vec<Order>, DatabaseError> {
    let before = cursor.unwrap_or(Uuid::max());
    database
        .read("list_orders", async |connection| {
            queries::list_orders(connection, filter, before, rows).await
        })
        .await
}

/// Changes an order's status and writes the event. If the order has that status already, nothing is
/// written: the response to an earlier request may have been lost. Dropping the future does not
/// cancel the change.
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
    // Between the two statements the order may reach a status from which the change is allowed.
    for _ in 0..MAX_ATTEMPTS {
        let changed = database
            .write("change_status", async |connection| {
                queries::change_status(connection, id, status, headers).await
            })
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
