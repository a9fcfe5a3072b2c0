//! The contents of the events that are sent next.

use std::collections::HashMap;
use std::time::Instant;

use service_kit::trace::TraceId;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

use crate::created::Created;
use crate::database::{Database, DatabaseError};
use crate::queries;
use crate::queue::Place;
use crate::refusals::Refusals;

/// A pending row of the outbox.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) place: Place,
    pub(crate) event_id: Uuid,
    pub(crate) aggregate_type: String,
    pub(crate) aggregate_id: String,
    pub(crate) event_type: String,
    pub(crate) payload: Payload,
    pub(crate) headers: String,
    pub(crate) attempts: u32,
    /// Whether and how the broker refused it before.
    pub(crate) refusals: Refusals,
    /// `None` when `created_at` is a time that RFC 3339 can't say.
    pub(crate) created: Option<Created>,
    /// Whether every text is UTF-8, as a database in `SQL_ASCII` does not promise.
    pub(crate) utf8: bool,
    /// Looked up when the event was not published, for the log.
    pub(crate) trace_id: Option<TraceId>,
}

impl Event {
    /// Gives back the memory of what was made into a message.
    pub(crate) fn forget_contents(&mut self) {
        self.payload = Payload::Text(String::new());
        self.headers = String::new();
    }
}

/// The payload of an event.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    /// The jsonb's text; never parsed, so that numbers keep their digits.
    Text(String),
    /// It has so many bytes that it was not loaded.
    TooLong(i64),
}

/// What was found at some places.
#[derive(Debug, Default)]
pub(crate) struct Claimed {
    pub(crate) events: Vec<Event>,
    /// Those that were left out, as enough was loaded.
    pub(crate) left: Vec<Place>,
    /// Those that are not pending any more.
    pub(crate) gone: Vec<Place>,
}

/// Loads what is at `places`: no further payload once `bytes` are loaded, and none that is longer than `longest`.
pub(crate) async fn claim(
    database: &Database,
    places: &[Place],
    bytes: i64,
    longest: i64,
) -> Result<Claimed, DatabaseError> {
    let ids: Vec<i64> = places.iter().map(|place| place.id).collect();
    let rows = queries::load(database, &ids, bytes, longest).await?;
    let now = Instant::now();
    let mut places: HashMap<i64, Place> = places.iter().map(|place| (place.id, *place)).collect();
    let mut claimed = Claimed::default();
    for row in &rows {
        let Some(place) = places.remove(&row.try_get("id")?) else {
            continue;
        };
        match event(row, place, now)? {
            Some(event) => {
                let refusals = refusals(row)?;
                claimed.events.push(Event { refusals, ..event });
            }
            None => claimed.left.push(place),
        }
    }
    claimed.gone = places.into_values().collect();
    Ok(claimed)
}

pub(crate) fn event(
    row: &Row,
    place: Place,
    claimed: Instant,
) -> Result<Option<Event>, DatabaseError> {
    let mut utf8 = true;
    let mut text = |column: &str| -> Result<Option<String>, tokio_postgres::Error> {
        let Some(Bytes(bytes)) = row.try_get(column)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(bytes);
        utf8 &= matches!(text, std::borrow::Cow::Borrowed(_));
        Ok(Some(text.into_owned()))
    };
    let size: i64 = row.try_get("size")?;
    let payload = match (text("payload")?, row.try_get("too_long")?) {
        (Some(payload), _) => Payload::Text(payload),
        (None, true) => Payload::TooLong(size),
        (None, false) => return Ok(None),
    };
    let mut present = |column| Ok::<_, DatabaseError>(text(column)?.unwrap_or_default());
    let (aggregate_type, aggregate_id) = (present("aggregate_type")?, present("aggregate_id")?);
    let (event_type, headers) = (present("event_type")?, present("headers")?);
    let created = Created::new(row.try_get("created_at")?, row.try_get("loaded_at")?, claimed);
    Ok(Some(Event {
        place: Place { size: if matches!(payload, Payload::Text(_)) { size } else { 0 }, ..place },
        event_id: row.try_get("event_id")?,
        aggregate_type,
        aggregate_id,
        event_type,
        payload,
        headers,
        attempts: u32::try_from(row.try_get::<_, i32>("attempts")?).unwrap_or(0),
        refusals: Refusals::default(),
        created,
        utf8,
        trace_id: None,
    }))
}

fn refusals(row: &Row) -> Result<Refusals, DatabaseError> {
    let last_error: Option<Bytes<'_>> = row.try_get("last_error")?;
    Ok(last_error.map_or_else(Refusals::default, |Bytes(last_error)| {
        Refusals::read(&String::from_utf8_lossy(last_error))
    }))
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
            place: Place { id: 1, key: 7, size: 42 },
            event_id: "0190163d-8694-739b-aea5-966c26f8ad91".parse().expect("a UUID"),
            aggregate_type: "order".to_owned(),
            aggregate_id: "7".to_owned(),
            event_type: "order.created".to_owned(),
            payload: Payload::Text(r#"{"price": 1.10, "order_public_id": "a\"b"}"#.to_owned()),
            headers:
                r#"{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#
                    .to_owned(),
            attempts: 0,
            refusals: Refusals::default(),
            created: Some(crate::created::tests::created()),
            utf8: true,
            trace_id: None,
        }
    }
}
