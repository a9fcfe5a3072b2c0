//! Idempotent creation: a request that is repeated with its `Idempotency-Key` gets the first
//! response again and creates no second order.
//!
//! No response is stored. The key refers to the order that it created, whose row has everything
//! that the client sent and never changes in that, so the response can be built from the row and
//! the body compared with it.

use std::time::Duration;

use service_kit::postgres::{Database, DatabaseError};
use service_kit::prune::{PrunePasses, pause};
use tokio_util::sync::CancellationToken;

use crate::domain::{NewOrder, Order};
use crate::metrics;
use crate::queries;

/// The most keys that one statement deletes.
const BATCH_SIZE: u16 = 1000;

/// The pause between two statements.
const PAUSE: Duration = Duration::from_millis(100);

/// The outcome of a request to create an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CreateOutcome {
    /// The order was created.
    Created(Order),
    /// The key created this order before, from the same body.
    Replayed(Order),
    /// The key created an order before from another body.
    KeyReused,
    /// The order that the key created no longer exists.
    OrderMissing,
}

impl CreateOutcome {
    /// The outcome for `new` if its key has created `order`.
    pub(crate) fn of_replay(order: Order, new: &NewOrder) -> Self {
        if order.ordered == *new { Self::Replayed(order.into_created()) } else { Self::KeyReused }
    }
}

/// How far pruning is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruned {
    /// This many were deleted, a full batch: there may be more.
    MayHaveMore(u64),
    /// This many were deleted, and no expired key is left.
    Complete(u64),
}

/// Deletes a batch of keys that are older than 24 hours.
///
/// # Errors
/// If the database refuses or does not answer.
pub async fn prune_batch(database: &Database) -> Result<Pruned, DatabaseError> {
    let deleted = database
        .write("prune_idempotency_keys", async |connection| {
            queries::prune_idempotency_keys(connection, BATCH_SIZE.into()).await
        })
        .await?;
    metrics::keys_pruned(deleted);
    let is_full = deleted == u64::from(BATCH_SIZE);
    Ok(if is_full { Pruned::MayHaveMore(deleted) } else { Pruned::Complete(deleted) })
}

/// Deletes expired keys, at once and then every minute, until `shutdown`.
pub async fn prune(database: Database, shutdown: CancellationToken) {
    let (rows, interval) = ("expired idempotency keys", Duration::from_mins(1));
    let passes = PrunePasses { rows, interval, stop: &shutdown };
    passes.report(prune_all(&database, &shutdown).await);
    while passes.is_due().await {
        passes.report(prune_all(&database, &shutdown).await);
    }
}

/// Deletes all expired keys, batch by batch. Returns how many.
async fn prune_all(
    database: &Database,
    shutdown: &CancellationToken,
) -> Result<u64, DatabaseError> {
    let mut total = 0;
    loop {
        match shutdown.run_until_cancelled(prune_batch(database)).await.transpose()? {
            Some(Pruned::MayHaveMore(deleted)) => total += deleted,
            Some(Pruned::Complete(deleted)) => return Ok(total + deleted),
            None => return Ok(total),
        }
        if pause(PAUSE, shutdown).await {
            return Ok(total);
        }
    }
}
