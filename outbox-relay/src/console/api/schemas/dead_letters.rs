//! The desk.

use poem_openapi::{Enum, Object};
use serde_json::Value;

use super::shapes::{Nullable, Tab};

#[derive(Debug, Enum)]
#[oai(rename_all = "lowercase")]
pub(super) enum LetterState {
    Open,
    /// A command publishes it, or was interrupted
    Returning,
    Returned,
    Discarded,
}

/// A dead letter without its contents
#[derive(Debug, Object)]
pub(super) struct Letter {
    id: i64,
    queue: String,
    /// The queue that it goes back to
    return_to: Nullable<String>,
    message_id: Nullable<String>,
    event_type: String,
    state: LetterState,
    error_kind: String,
    /// Its cause, by which dead letters form groups
    fingerprint: String,
    reason: Nullable<String>,
    tries: Nullable<i64>,
    /// How often it had been returned when it died
    returns: i64,
    earlier_id: Nullable<i64>,
    first_failed_at: Nullable<String>,
    last_failed_at: Nullable<String>,
    collected_at: String,
    age_seconds: Nullable<f64>,
    settled_at: Nullable<String>,
    bytes: i64,
    /// Of a body that is text and has up to 1,000 bytes: the first 160; null if the console hides
    /// payloads
    body_start: Nullable<String>,
    is_edited: bool,
    note: Nullable<String>,
}

/// A part of a list of dead letters
#[derive(Debug, Object)]
pub(in crate::console::api) struct LetterList {
    tabs: Vec<Tab>,
    /// The path of the next part, if there is one
    next: Nullable<String>,
    note: Nullable<String>,
    letters: Vec<Letter>,
}

/// Open dead letters of one queue with one cause and one type
#[derive(Debug, Object)]
pub(super) struct LetterGroup {
    queue: String,
    kind: String,
    fingerprint: String,
    cause: String,
    event_type: String,
    messages: i64,
    is_capped: bool,
    returned_before: i64,
    oldest_collected_at: String,
    newest_collected_at: String,
    up_to_id: i64,
    example_id: i64,
    example_reason: Nullable<String>,
}

/// Open dead letters by cause
#[derive(Debug, Object)]
pub(in crate::console::api) struct LetterGroups {
    groups: Vec<LetterGroup>,
    has_more: bool,
    /// Whether a larger group may be missing
    is_cut: bool,
    returning: i64,
}

/// A dead letter with its properties and headers
#[derive(Debug, Object)]
pub(super) struct ShownLetter {
    id: i64,
    queue: String,
    return_to: Nullable<String>,
    message_id: Nullable<String>,
    event_type: String,
    exchange: Nullable<String>,
    routing_key: Nullable<String>,
    content_type: Nullable<String>,
    state: LetterState,
    error_kind: String,
    fingerprint: String,
    reason: Nullable<String>,
    tries: Nullable<i64>,
    returns: i64,
    earlier_id: Nullable<i64>,
    /// Its next death, if it was returned and died again
    later_id: Nullable<i64>,
    first_failed_at: Nullable<String>,
    last_failed_at: Nullable<String>,
    collected_at: String,
    age_seconds: Nullable<f64>,
    redelivered: bool,
    settled_at: Nullable<String>,
    /// Whether the message may be with its consumer
    may_have_arrived: bool,
    note: Nullable<String>,
    /// Null if the console hides payloads
    properties: Value,
    headers: Value,
    /// How many bytes both take in the database, if they are too large to be read
    headers_stored_bytes: Option<i64>,
    is_edited: bool,
    is_forgotten: bool,
}

/// An earlier death of the same message
#[derive(Debug, Object)]
pub(super) struct Death {
    id: i64,
    state: LetterState,
    error_kind: String,
    fingerprint: String,
    reason: Nullable<String>,
    collected_at: String,
    settled_at: Nullable<String>,
    may_have_arrived: bool,
}

/// What a person did to a dead letter
#[derive(Debug, Object)]
pub(super) struct LetterAuditRow {
    happened_at: String,
    actor: String,
    db_user: String,
    action: String,
    reason: Nullable<String>,
    before: Value,
    after: Value,
    detail: Value,
    operation_id: String,
}

/// The beginning of a body of which not all is read: the first 262,144 bytes
#[derive(Debug, Object)]
pub(super) struct CutBody {
    /// If it is text; null if the console hides payloads
    beginning: Option<Nullable<String>>,
    /// If it is no text
    beginning_base64: Option<Nullable<String>>,
    /// The size of all of it
    bytes: i64,
}

/// A dead letter with its contents
#[derive(Debug, Object)]
pub(in crate::console::api) struct LetterPage {
    dead_letter: ShownLetter,
    /// The body, if it is text; null if the console hides payloads
    body: Option<Nullable<String>>,
    /// The body, if it is no text
    body_base64: Option<Nullable<String>>,
    /// If the body is too large: `outbox-relay dead-letters show --json` prints all of it
    cut_body: Option<CutBody>,
    /// The same for people, its beginning
    body_hex: Option<Nullable<String>>,
    earlier_deaths: Vec<Death>,
    audit: Vec<LetterAuditRow>,
    /// Of an open dead letter, for `if_unchanged` of an edit; null if the console hides payloads,
    /// absent if the body is too large
    digest: Option<Nullable<String>>,
}
