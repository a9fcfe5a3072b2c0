//! Events and their lists.

use poem_openapi::{Enum, Object};
use serde_json::Value;
use uuid::Uuid;

use super::records::AuditRow;
use super::shapes::{Nullable, Tab};

/// The state of an event
#[derive(Debug, Enum)]
#[oai(rename_all = "lowercase")]
pub(super) enum EventState {
    /// Due: a relay publishes it next
    Ready,
    /// Held back by an earlier event of its aggregate that failed
    Behind,
    /// Failed, and tried again later
    Waiting,
    /// Published when its time has come
    Scheduled,
    /// Given up: needs a person
    Stuck,
    /// Its writer wants a person to decide
    Parked,
    /// Confirmed by the broker
    Published,
    /// Deleted by a person; the audit table has a copy
    Discarded,
}

/// An event without payload and headers
#[derive(Debug, Object)]
pub(super) struct Event {
    /// Its place in the order of its aggregate
    id: i64,
    /// What consumers deduplicate by
    event_id: Uuid,
    aggregate_type: String,
    aggregate_id: String,
    /// Its routing key
    event_type: String,
    state: EventState,
    /// The failed event that holds it back
    waits_behind: Option<Uuid>,
    /// The id of that event
    waits_behind_id: Option<i64>,
    /// RFC 3339, or infinity
    created_at: String,
    age_seconds: Nullable<f64>,
    published_at: Nullable<String>,
    attempts: i32,
    /// RFC 3339, or infinity: never by itself
    next_attempt_at: Nullable<String>,
    last_error: Nullable<String>,
    error_kind: Option<String>,
    /// The cause, by which failures form groups
    error_fingerprint: Option<String>,
}

/// An event with its lane and headers
#[derive(Debug, Object)]
pub(super) struct ShownEvent {
    id: i64,
    event_id: Uuid,
    aggregate_type: String,
    aggregate_id: String,
    event_type: String,
    state: EventState,
    /// The share of the aggregates that it belongs to, if it is pending
    lane: Option<u8>,
    /// RFC 3339, or infinity
    created_at: String,
    age_seconds: Nullable<f64>,
    published_at: Nullable<String>,
    attempts: i32,
    next_attempt_at: Nullable<String>,
    last_error: Nullable<String>,
    error_kind: Option<String>,
    error_fingerprint: Option<String>,
    waits_behind: Option<Uuid>,
    waits_behind_id: Option<i64>,
    /// JSON as text, in which numbers keep their digits; an object if it is empty; null if the
    /// console hides payloads
    headers: Value,
    /// How many bytes they take in the database, if they are too large to be read; of a discarded
    /// event, with all that is kept of it
    headers_stored_bytes: Option<i64>,
    /// Whether the contents were erased
    forgotten: Option<bool>,
}

/// The beginning of a payload of which not all is read
#[derive(Debug, Object)]
pub(super) struct CutPayload {
    /// The first 262,144 characters; empty if it takes as many bytes in the database, so that nothing
    /// is read of it; null if the console hides payloads
    beginning: Nullable<String>,
    /// The size of all of it, if it was read
    bytes: Nullable<i64>,
    /// How many bytes it takes in the database; of a discarded event, with all that is kept of it
    stored_bytes: i64,
}

/// An event with its contents
#[derive(Debug, Object)]
pub(super) struct EventWithContents {
    event: ShownEvent,
    /// As the headers; null if it is cut
    payload: Value,
    /// If the payload is too large: `outbox-relay show --json` prints all of it
    cut_payload: Option<CutPayload>,
    /// What people did to it
    audit: Vec<AuditRow>,
    /// Of a pending event, for `if_unchanged` of an edit; null if the console hides payloads, absent
    /// if the contents are too large
    digest: Option<Nullable<String>>,
}

/// A part of a list of events
#[derive(Debug, Object)]
pub(in crate::console::api) struct EventList {
    tabs: Vec<Tab>,
    /// The path of the next part, if there is one
    next: Nullable<String>,
    /// Why there may be more although this part is not full
    note: Nullable<String>,
    events: Vec<Event>,
}
