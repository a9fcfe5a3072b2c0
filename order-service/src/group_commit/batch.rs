//! Writes batches, each by one statement; the orders of a rejected batch are given back, to be
//! written one by one.

use std::collections::{HashMap, HashSet};

use service_kit::postgres::{Database, reason};
use time::OffsetDateTime;
use tokio_postgres::Error;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::queue::{BatchOutcome, QueuedOrder, Responder};
use super::reader::BatchReader;
use crate::domain::{IdempotencyKey, Order, OrderId, OrderToWrite};
use crate::idempotency::CreateOutcome;
use crate::metrics;
use crate::queries::{self, KeyWait};

/// Writes batches until `shutdown`; orders that are queued by then are written first.
pub(crate) async fn write_batches(
    mut reader: BatchReader,
    database: Database,
    shutdown: CancellationToken,
) {
    loop {
        let batch = tokio::select! {
            biased;
            Some(batch) = reader.next_batch() => batch,
            () = shutdown.cancelled() => return,
        };
        write_batch(&database, batch).await;
    }
}

/// Writes a batch and responds to each of its orders.
async fn write_batch(database: &Database, batch: Vec<QueuedOrder>) {
    let (leaders, followers) = split_duplicates(batch);
    // Ids are generated here, and not on arrival, so that their order is that of the commits.
    let rows: Vec<(OrderId, &OrderToWrite)> =
        leaders.iter().map(|leader| (OrderId(Uuid::now_v7()), &leader.order)).collect();
    let written = database
        .write("create_orders", async |connection| {
            match queries::create_orders(connection, &rows, KeyWait::Short).await {
                Err(error) if is_row_error(&error) => {
                    let (reason, orders) = (reason(&error), rows.len());
                    tracing::debug!(reason, orders, "batch rejected, inserting one by one");
                    Ok(None)
                }
                result => result.map(Some),
            }
        })
        .await;
    let ids: Vec<OrderId> = rows.iter().map(|&(id, _)| id).collect();
    match written {
        Ok(Some(created)) => {
            metrics::batch_committed(created.len());
            metrics::created(created.len());
            respond(ids.into_iter().zip(leaders), followers, &created);
        }
        Ok(None) => for_each(leaders, followers, |order, responder| {
            responder.respond(Ok(BatchOutcome::RetryAlone(order)));
        }),
        Err(error) => {
            for_each(leaders, followers, |_, responder| {
                responder.respond(Err(error.clone().into()));
            });
        }
    }
}

/// Splits off the orders whose idempotency key is that of an earlier order in the batch. They are
/// not written: their outcome depends on that order's.
fn split_duplicates(batch: Vec<QueuedOrder>) -> (Vec<QueuedOrder>, Vec<QueuedOrder>) {
    let mut keys: HashSet<IdempotencyKey> = HashSet::new();
    batch
        .into_iter()
        .partition(|queued| queued.order.key.as_ref().is_none_or(|key| keys.insert(key.clone())))
}

/// Returns whether the error may be due to one of the rows. Errors of the server itself are not: it
/// would refuse every single order as well.
fn is_row_error(error: &Error) -> bool {
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    let class = error.code().and_then(|code| code.code().get(..2));
    class.is_some_and(|class| !matches!(class, "08" | "25" | "53" | "57" | "58"))
}

/// Responds to each order of a committed batch. Orders whose key created an order before were left
/// out, and are given back.
fn respond(
    leaders: impl Iterator<Item = (OrderId, QueuedOrder)>,
    followers: Vec<QueuedOrder>,
    created: &HashMap<Uuid, OffsetDateTime>,
) {
    let mut by_key: HashMap<IdempotencyKey, Order> = HashMap::new();
    for (id, leader) in leaders {
        let (order, responder) = leader.into_parts();
        let Some(&created_at) = created.get(&id.0) else {
            responder.respond(Ok(BatchOutcome::RetryAlone(order)));
            continue;
        };
        let stored = Order::created(id, order.new, created_at);
        if let Some(key) = order.key.filter(|_| !followers.is_empty()) {
            by_key.insert(key, stored.clone());
        }
        responder.respond(Ok(BatchOutcome::Done(CreateOutcome::Created(stored))));
    }
    for follower in followers {
        let (order, responder) = follower.into_parts();
        let stored = order.key.as_ref().and_then(|key| by_key.get(key));
        responder.respond(Ok(match stored {
            Some(stored) => {
                BatchOutcome::Done(CreateOutcome::of_replay(stored.clone(), &order.new))
            }
            None => BatchOutcome::RetryAlone(order),
        }));
    }
}

fn for_each(
    leaders: Vec<QueuedOrder>,
    followers: Vec<QueuedOrder>,
    respond: impl Fn(OrderToWrite, Responder),
) {
    for queued in leaders.into_iter().chain(followers) {
        let (order, responder) = queued.into_parts();
        respond(order, responder);
    }
}
