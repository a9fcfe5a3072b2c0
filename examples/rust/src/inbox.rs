//! The inbox: the ids of the events that were applied.

use sqlx::PgPool;

use crate::event::{Failure, ReceivedEvent};
use crate::shipments;

/// Applies an event, unless it was applied before.
pub async fn apply_once(pool: &PgPool, body: &[u8]) -> Result<(), Failure> {
    let event: ReceivedEvent = serde_json::from_slice(body)?;
    let mut transaction = pool.begin().await?;
    // The id and the effect are saved together or not at all. For a copy of an applied event the
    // INSERT returns no row; if another consumer is applying the event right now, the INSERT waits
    // for its end.
    let remember = "INSERT INTO inbox (event_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING 1";
    let is_new =
        sqlx::query(remember).bind(event.event_id).fetch_optional(&mut *transaction).await?;
    if is_new.is_some() {
        shipments::apply(&mut transaction, event).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Fails if the database is down, read-only or full.
pub async fn check_writable(pool: &PgPool) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    let insert = "INSERT INTO inbox (event_id) VALUES (gen_random_uuid())";
    sqlx::query(insert).execute(&mut *transaction).await?;
    transaction.rollback().await
}
