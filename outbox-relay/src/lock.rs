//! Which of the relays of one outbox publishes.
//!
//! A lock of the session, not of a transaction: the server gives it up the moment the session ends, however it ends,
//! and no transaction is open while the relay talks to the broker
//! (<https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS>).

use crate::database::{Database, DatabaseError};
use crate::queries;

/// The first half of the lock's key; the second half is the table's identity. The number means nothing, it only must
/// be the same in every relay.
const PUBLISHING: i32 = 0x6F75_7462;

/// Whether this relay's session holds the lock.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// It was not asked for in this session.
    #[default]
    Unknown,
    /// This relay publishes.
    Held,
    /// Another relay publishes.
    Elsewhere,
}

/// Takes the lock if it is free; says whether this relay publishes.
pub(crate) async fn take(database: &mut Database) -> Result<bool, DatabaseError> {
    if database.lock == Lock::Held {
        return Ok(true);
    }
    let now = if queries::take_lock(database, PUBLISHING).await? {
        tracing::info!("this relay publishes");
        Lock::Held
    } else {
        if database.lock != Lock::Elsewhere {
            tracing::info!("another relay publishes: standing by");
        }
        Lock::Elsewhere
    };
    database.lock = now;
    Ok(now == Lock::Held)
}

/// Lets another relay publish. Only between batches: nothing of this relay may be in flight.
pub(crate) async fn release(database: &mut Database) -> Result<(), DatabaseError> {
    if database.lock == Lock::Held {
        queries::release_lock(database, PUBLISHING).await?;
        database.lock = Lock::Unknown;
    }
    Ok(())
}
