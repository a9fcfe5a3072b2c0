//! Which events are next.

use std::time::{Duration, Instant};

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

use crate::database::{Database, DatabaseError};
use crate::queries;

/// Payload bytes, as stored, after which a batch takes no further event; one big event still goes.
const BATCH_BYTES: i64 = 8 << 20;

/// A pending row of the outbox.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) id: i64,
    pub(crate) event_id: Uuid,
    pub(crate) aggregate_type: String,
    pub(crate) aggregate_id: String,
    pub(crate) event_type: String,
    /// The jsonb's text; never parsed, so that numbers keep their digits.
    pub(crate) payload: String,
    pub(crate) headers: String,
    pub(crate) attempts: u32,
    /// `None` when `created_at` is a time that RFC 3339 can't say.
    pub(crate) created: Option<Created>,
    /// Whether every text is UTF-8, as a database in `SQL_ASCII` does not promise.
    pub(crate) utf8: bool,
}

/// When an event's transaction began.
#[derive(Debug, Clone)]
pub(crate) struct Created {
    /// RFC 3339 in UTC, with microseconds.
    pub(crate) rfc3339: String,
    /// Whole seconds since 1970.
    pub(crate) seconds: u64,
    /// Its age by the database's clock when it was claimed.
    age: Duration,
    claimed: Instant,
}

impl Created {
    pub(crate) fn age(&self) -> Duration {
        self.age + self.claimed.elapsed()
    }
}

/// The next pending events, in order. An aggregate of which an event waits or is stuck yields none behind that one.
pub(crate) async fn claim(database: &Database, most: u32) -> Result<Vec<Event>, DatabaseError> {
    let rows = queries::claim(database, i64::from(most), BATCH_BYTES).await?;
    let claimed = Instant::now();
    rows.iter().map(|row| event(row, claimed)).collect()
}

fn event(row: &Row, claimed: Instant) -> Result<Event, DatabaseError> {
    let mut utf8 = true;
    let mut text = |column: &str| -> Result<String, tokio_postgres::Error> {
        let Bytes(bytes) = row.try_get(column)?;
        let text = String::from_utf8_lossy(bytes);
        utf8 &= matches!(text, std::borrow::Cow::Borrowed(_));
        Ok(text.into_owned())
    };
    let (aggregate_type, aggregate_id) = (text("aggregate_type")?, text("aggregate_id")?);
    let (event_type, payload) = (text("event_type")?, text("payload")?);
    let headers = text("headers")?;
    let rfc3339: Option<String> = row.try_get("occurred_at")?;
    let seconds: Option<i64> = row.try_get("created_at_seconds")?;
    let age: Option<f64> = row.try_get("age_seconds")?;
    let created = match (rfc3339, seconds.map(u64::try_from), age) {
        (Some(rfc3339), Some(Ok(seconds)), Some(age)) => Some(Created {
            rfc3339,
            seconds,
            // A clock that was set back makes an event come from the future.
            age: Duration::try_from_secs_f64(age).unwrap_or_default(),
            claimed,
        }),
        _ => None,
    };
    Ok(Event {
        id: row.try_get("id")?,
        event_id: row.try_get("event_id")?,
        aggregate_type,
        aggregate_id,
        event_type,
        payload,
        headers,
        attempts: u32::try_from(row.try_get::<_, i32>("attempts")?).unwrap_or(0),
        created,
        utf8,
    })
}

/// A text as the bytes that the server sent.
struct Bytes<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Bytes<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An example for the tests of messages.
    pub(crate) fn event() -> Event {
        Event {
            id: 1,
            event_id: "0190163d-8694-739b-aea5-966c26f8ad91".parse().expect("a UUID"),
            aggregate_type: "order".to_owned(),
            aggregate_id: "7".to_owned(),
            event_type: "order.created".to_owned(),
            payload: r#"{"price": 1.10, "order_public_id": "a\"b"}"#.to_owned(),
            headers:
                r#"{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#
                    .to_owned(),
            attempts: 0,
            created: Some(Created {
                rfc3339: "2026-02-01T22:25:31.123456Z".to_owned(),
                seconds: 1_769_984_731,
                age: Duration::ZERO,
                claimed: Instant::now(),
            }),
            utf8: true,
        }
    }
}
