//! `Idempotency-Key`: a request that is sent again gives the first answer again, and no second order.
//!
//! No answer is stored: the key points to the order that it made, all that the client sent stands in the order's row, and
//! nothing of it is ever changed. So the first answer can be told again from the row, and bodies can be compared with it.

use std::time::Duration;

use service_kit::postgres::{Database, DatabaseError};
use tokio_util::sync::CancellationToken;

use crate::domain::{NewOrder, Order};
use crate::metrics;
use crate::queries;

/// How many keys one statement forgets at the most.
const BATCH_SIZE: u16 = 1000;

/// How a request to create an order ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CreateOutcome {
    /// It made the order.
    Created(Order),
    /// Its key made this order before, from the same body.
    Replayed(Order),
    /// Its key made another order before.
    KeyReused,
    /// Its key is held by an order that is not there.
    OrderMissing,
}

impl CreateOutcome {
    /// How a request for `new` ends whose key has made `order`.
    pub(crate) fn of_replay(order: Order, new: &NewOrder) -> Self {
        if order.ordered == *new { Self::Replayed(order.as_created()) } else { Self::KeyReused }
    }
}

/// Whether there may be more to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruned {
    /// A whole batch went: there may be more.
    MayHaveMore,
    /// Nothing older than its retention is left.
    Complete,
}

/// Forgets one batch of keys that are older than 24 hours.
///
/// # Errors
/// When the database does not do it.
pub async fn prune_batch(database: &Database) -> Result<Pruned, DatabaseError> {
    let forgotten = database
        .write(async |connection| {
            queries::prune_idempotency_keys(connection, BATCH_SIZE.into()).await
        })
        .await?;
    metrics::keys_pruned(forgotten);
    Ok(if forgotten < BATCH_SIZE.into() { Pruned::Complete } else { Pruned::MayHaveMore })
}

/// Forgets old keys, batch by batch, until `shutdown`.
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
                tracing::debug!(%error, "can't forget old idempotency keys now");
                Duration::from_secs(60)
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => (),
        }
    }
}
