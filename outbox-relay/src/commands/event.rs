//! An event as `events`, `show` and `status` print it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::output::duration_format::age;
use super::output::escape;
use super::output::table::{Align, TextTable};

/// How many characters of an error a table shows; `show` prints all.
const ERROR_LIMIT: usize = 160;

/// The state of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It is due: a relay publishes it once the earlier events of its aggregate are published.
    Ready,
    /// It is due, but an earlier event of its aggregate failed and holds it back.
    Behind,
    /// It failed and waits for its next attempt.
    Waiting,
    /// Its time, which whoever wrote it has set, has not come.
    Scheduled,
    /// It failed, and the relays have given it up.
    Stuck,
    /// Its writer has set `next_attempt_at` to infinity: an operator retries or discards it.
    Parked,
    /// The broker has confirmed it.
    Published,
    /// A person has deleted it; the audit table has a copy.
    Discarded,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Behind => "behind",
            Self::Waiting => "waiting",
            Self::Scheduled => "scheduled",
            Self::Stuck => "stuck",
            Self::Parked => "parked",
            Self::Published => "published",
            Self::Discarded => "discarded",
        }
    }

    /// Returns the state as text; `ahead` is the id of the event that it waits behind.
    pub(super) fn describe(self, ahead: Option<i64>) -> String {
        match (self, ahead) {
            (Self::Behind, Some(ahead)) => format!("behind {ahead}"),
            (state, _) => state.as_str().to_owned(),
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
    /// The first failed event of its aggregate, if that is earlier and holds this one back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waits_behind: Option<Uuid>,
    /// The id of that event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) waits_behind_id: Option<i64>,
    /// RFC 3339, or infinity.
    pub(super) created_at: String,
    pub(super) age_seconds: Option<f64>,
    pub(super) published_at: Option<String>,
    pub(super) attempts: i32,
    pub(super) next_attempt_at: Option<String>,
    pub(super) last_error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error_kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error_fingerprint: Option<String>,
}

/// Lays events out as a table.
pub(super) fn table(events: &[Event]) -> String {
    let mut table = TextTable::new([
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
        table.add_row([
            &event.id.to_string(),
            &event.event_id.to_string(),
            &event.event_type,
            &aggregate(&event.aggregate_type, &event.aggregate_id),
            &event.state.describe(event.waits_behind_id),
            &age(event.age_seconds),
            &event.attempts.to_string(),
            &escape::truncated(event.last_error.as_deref().unwrap_or_default(), ERROR_LIMIT),
        ]);
    }
    table.render()
}

/// Returns the name of an aggregate: `order 7`.
pub(super) fn aggregate(aggregate_type: &str, aggregate_id: &str) -> String {
    format!("{aggregate_type} {aggregate_id}")
}
