//! Pauses, audit rows, settings.

use poem_openapi::Object;
use serde_json::Value;
use uuid::Uuid;

use super::shapes::{Nullable, Tab};

/// What is not published for now
#[derive(Debug, Object)]
pub(super) struct Pause {
    id: i64,
    aggregate_type: Nullable<String>,
    aggregate_id: Nullable<String>,
    event_type: Nullable<String>,
    /// Null: until somebody resumes it
    until: Nullable<String>,
    reason: Nullable<String>,
    actor: String,
    created_at: String,
    age_seconds: f64,
}

/// Active pauses
#[derive(Debug, Object)]
pub(in crate::console::api) struct Pauses {
    pauses: Vec<Pause>,
}

/// What a person did
#[derive(Debug, Object)]
pub(super) struct AuditRow {
    id: Option<i64>,
    happened_at: String,
    actor: String,
    /// The role of the database that added the row
    db_user: String,
    action: String,
    reason: Nullable<String>,
    /// Absent if it was about many events at once
    event_id: Option<Uuid>,
    /// Of what was done to a dead letter
    dead_letter_id: Option<i64>,
    /// The same for all rows of one command
    operation_id: Option<Uuid>,
    /// By the action; null if the console hides payloads
    detail: Value,
}

/// A part of the audit table
#[derive(Debug, Object)]
pub(in crate::console::api) struct AuditList {
    /// Empty without a desk
    tabs: Vec<Tab>,
    /// The path of the next part, if there is one
    next: Nullable<String>,
    note: Nullable<String>,
    rows: Vec<AuditRow>,
}

/// A setting, without secrets
#[derive(Debug, Object)]
pub(super) struct Setting {
    name: String,
    value: String,
}

#[derive(Debug, Object)]
pub(super) struct Versions {
    #[oai(rename = "outbox-relay")]
    outbox_relay: String,
}

/// Where to read more
#[derive(Debug, Object)]
pub(super) struct FurtherLink {
    text: String,
    href: String,
}

/// The console itself
#[derive(Debug, Object)]
pub(in crate::console::api) struct About {
    versions: Versions,
    settings: Vec<Setting>,
    links: Vec<FurtherLink>,
}

/// A search that found nothing
#[derive(Debug, Object)]
pub(in crate::console::api) struct Search {
    query: String,
}

/// Changes whenever a page that shows the outbox is old
#[derive(Debug, Object)]
pub(in crate::console::api) struct Changes {
    version: String,
}
