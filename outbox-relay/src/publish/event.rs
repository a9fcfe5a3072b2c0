//! An event with its contents, as the database sends them.

use std::time::Instant;

use service_kit::trace::TraceId;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

use crate::database::DatabaseError;
use crate::publish::event_time::EventTime;
use crate::publish::refusals::RefusalHistory;
use crate::queue::EventRef;

/// A pending row of the outbox.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) event_ref: EventRef,
    pub(crate) event_id: Uuid,
    pub(crate) aggregate_type: String,
    pub(crate) aggregate_id: String,
    pub(crate) event_type: String,
    /// The jsonb's text; never parsed, so that numbers keep their digits.
    pub(crate) payload: String,
    /// JSON; empty where the row has NULL.
    pub(crate) headers: String,
    pub(crate) attempts: u32,
    /// The broker's refusals of earlier attempts.
    pub(crate) refusals: RefusalHistory,
    /// `None` when `created_at` is a time that RFC 3339 can't say.
    pub(crate) created_at: Option<EventTime>,
    /// Why the row can't be a message, if that is known from loading it.
    pub(crate) unfit: Option<String>,
    /// The latest row of the audit table when the contents were read, 0 while there is none. All
    /// operators' changes up to this row are in the contents.
    pub(crate) audit_id: i64,
    /// Set when the event was not published, for the log.
    pub(crate) trace_id: Option<TraceId>,
}

impl Event {
    /// An event whose contents can't be read.
    pub(crate) fn unreadable(
        event_ref: EventRef,
        event_id: Uuid,
        attempts: u32,
        reason: String,
    ) -> Self {
        Self {
            event_ref: EventRef { size: 0, ..event_ref },
            event_id,
            aggregate_type: String::new(),
            aggregate_id: String::new(),
            event_type: String::new(),
            payload: String::new(),
            headers: String::new(),
            attempts,
            refusals: RefusalHistory::default(),
            created_at: None,
            unfit: Some(reason),
            audit_id: 0,
            trace_id: None,
        }
    }

    /// The event of a row of `load.sql`; `None` when its contents were left out, as enough was
    /// loaded.
    pub(crate) fn from_row(
        row: &Row,
        event_ref: EventRef,
        limits: Limits,
        loaded: Instant,
    ) -> Result<Option<Self>, DatabaseError> {
        if !row.try_get::<_, bool>("is_loaded")? {
            return Ok(None);
        }
        let Limits { payload: longest, headers: room } = limits;
        let mut texts = Texts { row, unfit: None };
        let event_type = texts.get("event_type", "event_type_size", |size| {
            format!("event_type is the routing key and {size} bytes long, AMQP allows 255")
        })?;
        let payload = texts.get("payload", "payload_size", |size| {
            let size = counted(size, longest);
            format!("the payload is {size} bytes long, RELAY_MAX_MESSAGE_BYTES allows {longest}")
        })?;
        let headers = texts.get("headers", "headers_size", |size| {
            let size = counted(size, room);
            format!(
                "the headers and the aggregate's name take {size} bytes, the broker allows {room}"
            )
        })?;
        let aggregate_type = texts.get("aggregate_type", "aggregate_type_size", |size| {
            format!("aggregate_type is {size} bytes long, the broker allows {room}")
        })?;
        let aggregate_id = texts.get("aggregate_id", "aggregate_id_size", |size| {
            format!("aggregate_id is {size} bytes long, the broker allows {room}")
        })?;
        let unfit = texts.unfit;
        let created_at: Option<_> = row.try_get("created_at")?;
        let loaded_at = row.try_get("loaded_at")?;
        let size = payload.len() + headers.len() + aggregate_type.len() + aggregate_id.len();
        Ok(Some(Self {
            event_ref: EventRef { size: i64::try_from(size).unwrap_or(i64::MAX), ..event_ref },
            event_id: row.try_get("event_id")?,
            aggregate_type,
            aggregate_id,
            event_type,
            payload,
            headers,
            attempts: read_attempts(row)?,
            refusals: RefusalHistory::default(),
            created_at: created_at
                .and_then(|created_at| EventTime::new(created_at, loaded_at, loaded)),
            unfit,
            audit_id: 0,
            trace_id: None,
        }))
    }

    /// Frees the memory of what was made into a message.
    pub(crate) fn forget_contents(&mut self) {
        self.payload = String::new();
        self.headers = String::new();
    }
}

/// How long the parts of an event may be, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The payload, as text.
    pub(crate) payload: i64,
    /// The headers and the aggregate's name, as a message carries them.
    pub(crate) headers: i64,
}

/// How the broker refused the event before, as the row's `last_error` says.
pub(crate) fn read_refusals(row: &Row) -> Result<RefusalHistory, tokio_postgres::Error> {
    let last_error: Option<Bytes<'_>> = row.try_get("last_error")?;
    Ok(last_error.map_or_else(RefusalHistory::default, |Bytes(last_error)| {
        RefusalHistory::read(&String::from_utf8_lossy(last_error))
    }))
}

/// The size of something that is longer than `longest` bytes; 0 when it was not counted.
fn counted(size: i32, longest: i64) -> String {
    if size == 0 { format!("more than {longest}") } else { size.to_string() }
}

/// Failed attempts so far; anything that is no such number counts as none.
pub(crate) fn read_attempts(row: &Row) -> Result<u32, tokio_postgres::Error> {
    let attempts: Option<i32> = row.try_get("attempts")?;
    Ok(attempts.and_then(|attempts| u32::try_from(attempts).ok()).unwrap_or(0))
}

/// Reads the texts of a row, and remembers the first reason why they can't be those of a message.
struct Texts<'a> {
    row: &'a Row,
    unfit: Option<String>,
}

impl Texts<'_> {
    /// Returns the text of `column`: empty, and `unfit` set, when it is too long (then
    /// `size_column` says how long) or NULL, which only headers may be.
    fn get(
        &mut self,
        column: &str,
        size_column: &str,
        too_long: impl FnOnce(i32) -> String,
    ) -> Result<String, tokio_postgres::Error> {
        if let Some(Bytes(bytes)) = self.row.try_get(column)? {
            return Ok(String::from_utf8(bytes.to_vec()).unwrap_or_else(|error| {
                // A database in SQL_ASCII may hold any bytes.
                self.unfit.get_or_insert_with(|| "the row's text is not UTF-8".to_owned());
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }));
        }
        match self.row.try_get::<_, Option<i32>>(size_column)? {
            Some(size) => {
                self.unfit.get_or_insert_with(|| too_long(size));
            }
            None if column == "headers" => (),
            None => {
                self.unfit.get_or_insert_with(|| format!("{column} is NULL"));
            }
        }
        Ok(String::new())
    }
}

/// A text, as the bytes that the server sent.
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
            event_ref: EventRef { id: 1, key: 7, size: 42 },
            event_id: "0190163d-8694-739b-aea5-966c26f8ad91".parse().expect("a UUID"),
            aggregate_type: "order".to_owned(),
            aggregate_id: "7".to_owned(),
            event_type: "order.created".to_owned(),
            payload: r#"{"price": 1.10, "order_public_id": "a\"b"}"#.to_owned(),
            headers:
                r#"{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#
                    .to_owned(),
            attempts: 0,
            refusals: RefusalHistory::default(),
            created_at: Some(crate::publish::event_time::tests::event_time()),
            unfit: None,
            audit_id: 0,
            trace_id: None,
        }
    }
}
