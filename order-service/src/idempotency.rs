//! Idempotent creation: a request that is repeated with its `Idempotency-Key` gets the first
//! response again and creates no second order.
//!
//! No response is stored. The key refers to the order that it created, whose row has everything
//! that the client sent and never changes in that, so the response can be built from the row and
//! the body compared with it.

use std::time::Duration;

use service_kit::postgres::{Database, DatabaseError};
use tokio_util::sync::CancellationToken;

use crate::domain::{NewOrder, Order};
use crate::metrics;
use crate::queries;

/// The most keys that one statement deletes.
const BATCH_SIZE: u16 = 1000;

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
    /// A full batch was deleted; there may be more.
    MayHaveMore,
    /// No expired key is left.
    Complete,
}

/// Deletes a batch of keys that are older than 24 hours.
///
/// # Errors
/// If the database refuses or does not answer.
pub async fn prune_batch(database: &Database) -> Result<Pruned, DatabaseError> {
    let deleted = database
        .write(async |connection| {
            queries::prune_idempotency_keys(connection, BATCH_SIZE.into()).await
        })
        .await?;
    metrics::keys_pruned(deleted);
    Ok(if deleted < BATCH_SIZE.into() { Pruned::Complete } else { Pruned::MayHaveMore })
}

/// Deletes expired keys, batch by batch, until `shutdown`.
pub async fn prune(database: Database, shutdown: CancellationToken) {
    loop {
        let pruned = tokio::select! {
            () = shutdown.cancelled() => return,
            pruned = prune_batch(&database) => pruned,
        };
        let pause = match pruned {
            Ok(Pruned::MayHaveMore) => Duration::from_millis(100),
            Ok(Pruned::Complete) => Duration::from_secs(60),
            Err(error) => {
                tracing::debug!(%error, "pruning idempotency keys failed");
                Duration::from_secs(60)
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => (),
        }
    }
}
