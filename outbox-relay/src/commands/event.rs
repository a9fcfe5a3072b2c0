//! An event as lists show it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::plain;
use super::span::age;
use super::table::{Align, Columns};

/// Characters of an error that a list shows; `show` has them all.
const ERROR_LIMIT: usize = 160;

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Due: a relay takes it as soon as nothing of its aggregate is ahead of it.
    Ready,
    /// It failed; its next attempt is yet to come.
    Waiting,
    /// It failed, and no relay tries it again by itself.
    Stuck,
    /// The broker has confirmed it.
    Published,
    /// It was deleted; only the copy in the audit table is left.
    Discarded,
}

impl State {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Stuck => "stuck",
            Self::Published => "published",
            Self::Discarded => "discarded",
        }
    }
}

/// An event without payload and headers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) id: i64,
    pub(super) event_id: Uuid,
    pub(super) aggregate_type: String,
    pub(super) aggregate_id: String,
    pub(super) event_type: String,
    pub(super) state: State,
    /// RFC 3339, or infinity.
    pub(super) created_at: String,
    pub(super) age_seconds: Option<f64>,
    pub(super) published_at: Option<String>,
    pub(super) attempts: i32,
    pub(super) next_attempt_at: Option<String>,
    pub(super) last_error: Option<String>,
}

/// Events as a table.
pub(super) fn table(events: &[Event]) -> String {
    let mut columns = Columns::new([
        ("ID", Align::Right),
        ("EVENT", Align::Left),
        ("TYPE", Align::Left),
        ("AGGREGATE", Align::Left),
        ("STATE", Align::Left),
        ("AGE", Align::Right),
        ("ATTEMPTS", Align::Right),
        ("LAST ERROR", Align::Left),
    ]);
    for event in events {
        columns.row([
            &event.id.to_string(),
            &event.event_id.to_string(),
            &event.event_type,
            &aggregate(&event.aggregate_type, &event.aggregate_id),
            event.state.word(),
            &age(event.age_seconds),
            &event.attempts.to_string(),
            &plain::shortened(event.last_error.as_deref().unwrap_or_default(), ERROR_LIMIT),
        ]);
    }
    columns.render()
}

/// An aggregate as people name it: `order 7`.
pub(super) fn aggregate(aggregate_type: &str, aggregate_id: &str) -> String {
    format!("{aggregate_type} {aggregate_id}")
}
