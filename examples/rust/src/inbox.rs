//! The inbox: the ids of the events that were applied.

use serde::Deserialize;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::shipments;

/// The relay's default envelope.
#[derive(Deserialize)]
pub struct Event {
    event_id: Uuid,
    pub event: String,
    pub data: Value,
}

/// Why an event was not applied.
#[derive(Debug)]
pub enum Failure {
    /// It can't be applied now; later it may.
    NotYet(String),
    /// It can never be applied.
    Malformed(serde_json::Error),
    /// PostgreSQL refused it, or is down.
    Database(sqlx::Error),
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl Failure {
    /// Whether another try may succeed. PostgreSQL's class 22 is a value that no column takes.
    pub fn can_retry(&self) -> bool {
        match self {
            Self::NotYet(_) => true,
            Self::Malformed(_) => false,
            Self::Database(error) => !error
                .as_database_error()
                .and_then(|error| error.code())
                .is_some_and(|code| code.starts_with("22")),
        }
    }

    /// Why, for the header `x-reason`.
    pub fn reason(&self) -> String {
        match self {
            Self::NotYet(reason) => reason.clone(),
            Self::Malformed(error) => format!("malformed: {error}"),
            Self::Database(error) => error.to_string(),
        }
    }
}

/// Applies an event unless that was done before.
pub async fn apply_once(pool: &PgPool, body: &[u8]) -> Result<(), Failure> {
    let event: Event = serde_json::from_slice(body)?;
    let mut transaction = pool.begin().await?;
    // The id and the effect are saved together or not at all. A copy of the event finds its id
    // here; one that is applied by another consumer right now is waited for.
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
