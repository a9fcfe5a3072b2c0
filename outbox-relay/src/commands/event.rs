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
    /// As due, but an event of its aggregate that failed holds it back.
    Behind,
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
    const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Behind => "behind",
            Self::Waiting => "waiting",
            Self::Stuck => "stuck",
            Self::Published => "published",
            Self::Discarded => "discarded",
        }
    }

    /// For people; `ahead` is the id of the event that it waits behind.
    pub(super) fn told(self, ahead: Option<i64>) -> String {
        match (self, ahead) {
            (Self::Behind, Some(ahead)) => format!("behind {ahead}"),
            (state, _) => state.word().to_owned(),
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
    /// The first event of its aggregate that failed, if it is ahead of this one and holds it back, and its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waits_behind: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waits_behind_id: Option<i64>,
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
            &event.state.told(event.waits_behind_id),
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
