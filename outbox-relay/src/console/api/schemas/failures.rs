//! Failed events by their cause.

use poem_openapi::Object;
use uuid::Uuid;

use super::events::Event;
use super::shapes::Nullable;

/// Failed events with one cause and one type
#[derive(Debug, Object)]
pub(super) struct FailureGroup {
    kind: String,
    fingerprint: String,
    /// What the reasons have in common
    cause: String,
    event_type: Nullable<String>,
    events: i64,
    /// Whether there may be more
    is_capped: bool,
    stuck: i64,
    aggregates: Nullable<i64>,
    /// Events that wait until these are published
    waiting_behind: Nullable<i64>,
    oldest_created_at: Nullable<String>,
    newest_created_at: Nullable<String>,
    example_event_id: Uuid,
    example_error: Nullable<String>,
    /// What usually fixes it
    remedy: String,
}

/// Failed events by cause
#[derive(Debug, Object)]
pub(in crate::console::api) struct Failures {
    failures: Vec<FailureGroup>,
    has_more: bool,
    without_cause: i64,
    without_cause_is_capped: bool,
}

/// A cause of events that were published in the last hour, after somebody had retried or edited them
#[derive(Debug, Object)]
pub(super) struct RecoveredGroup {
    kind: String,
    fingerprint: String,
    /// What the reasons had in common
    cause: String,
    event_type: String,
    events: i64,
    /// Whether there may be more
    is_capped: bool,
    /// Whether no event fails of it any more
    is_over: bool,
    last_published_at: String,
}

/// The events of one cause
#[derive(Debug, Object)]
pub(in crate::console::api) struct Cause {
    fingerprint: String,
    /// Null if no event fails of it any more
    group: Nullable<FailureGroup>,
    /// Of each type
    recovered: Vec<RecoveredGroup>,
    /// The path of the next part, if there is one
    next: Nullable<String>,
    note: Nullable<String>,
    events: Vec<Event>,
}
