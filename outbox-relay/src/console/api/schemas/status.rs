//! The state of the outbox, and the overview.

use poem_openapi::{Enum, Object};
use uuid::Uuid;

use super::events::Event;
use super::failures::{Failures, RecoveredGroup};
use super::records::{AuditRow, Pause};
use super::shapes::Nullable;

/// The pending event with the lowest id
#[derive(Debug, Object)]
pub(super) struct Oldest {
    event_id: Uuid,
    aggregate_type: String,
    aggregate_id: String,
    event_type: String,
    created_at: String,
    age_seconds: Nullable<f64>,
}

/// The pending events, each number counted up to 100,000
#[derive(Debug, Object)]
pub(super) struct Backlog {
    pending: i64,
    waiting: i64,
    scheduled: i64,
    stuck: i64,
    parked: i64,
    oldest: Nullable<Oldest>,
}

/// What was published of one type
#[derive(Debug, Object)]
pub(super) struct TypeRate {
    event_type: String,
    events: i64,
    average_delay_seconds: Nullable<f64>,
}

/// What was published in the last minute
#[derive(Debug, Object)]
pub(super) struct Rate {
    events: i64,
    /// Whether there may be more
    at_least: bool,
    /// Whether the numbers are those of the newest events, extrapolated to a minute
    estimated: bool,
    by_type: Vec<TypeRate>,
}

/// An active relay
#[derive(Debug, Object)]
pub(super) struct Relay {
    pid: i32,
    name: Nullable<String>,
    address: Nullable<String>,
    connected_at: Nullable<String>,
    lanes: Vec<i32>,
}

/// How many lanes the relays own
#[derive(Debug, Object)]
pub(super) struct Lanes {
    owned: u64,
    of: u64,
}

/// Events that are published or expired, and can't be settled
#[derive(Debug, Object)]
pub(super) struct Unsettled {
    outcome: String,
    kind: String,
    events: i64,
    since: String,
    event_id: Uuid,
    reason: Nullable<String>,
}

/// The open dead letters
#[derive(Debug, Object)]
pub(super) struct OpenLetters {
    /// Null: they could not be read
    open: Nullable<u64>,
    /// Whether there may be more
    at_least: bool,
    /// Why they could not be read
    problem: Nullable<String>,
}

/// The state of the outbox
#[derive(Debug, Object)]
pub(super) struct Status {
    table: String,
    backlog: Backlog,
    published_last_minute: Rate,
    relays: Vec<Relay>,
    lanes: Lanes,
    /// The oldest ones
    stuck: Vec<Event>,
    unsettled: Vec<Unsettled>,
    pauses: Vec<Pause>,
    /// In the overview of a console with a desk
    dead_letters: Option<OpenLetters>,
}

/// Relays and their lanes
#[derive(Debug, Object)]
pub(in crate::console::api) struct Relays {
    status: Status,
}

#[derive(Debug, Enum)]
#[oai(rename_all = "lowercase")]
pub(super) enum VerdictState {
    Ok,
    Warning,
    Problem,
}

/// The page to look at
#[derive(Debug, Object)]
pub(super) struct Link {
    text: String,
    /// The page for people
    href: String,
}

/// Whether events flow
#[derive(Debug, Object)]
pub(super) struct Verdict {
    state: VerdictState,
    sentence: String,
    /// What else is wrong while events are stuck
    besides: Nullable<String>,
    since: Nullable<String>,
    next: Nullable<Link>,
}

/// Lines of the last hour, as points of SVG
#[derive(Debug, Object)]
pub(super) struct Sparklines {
    backlog: Nullable<String>,
    rate: Nullable<String>,
    oldest: Nullable<String>,
}

/// What one operation did, or a part of one that other actions interrupted
#[derive(Debug, Object)]
pub(super) struct LatestAction {
    /// The latest row that it wrote
    row: AuditRow,
    /// How many rows it wrote: one for each event or dead letter
    rows: u64,
    /// Whether there may be more of them
    at_least: bool,
}

/// Whether events flow, and what to do if not
#[derive(Debug, Object)]
pub(in crate::console::api) struct Overview {
    verdict: Verdict,
    pauses: Vec<Pause>,
    status: Status,
    failures: Nullable<Failures>,
    /// Why failures could not be read
    failures_problem: Nullable<String>,
    /// The causes with the latest ones
    recovered: Nullable<Vec<RecoveredGroup>>,
    /// Why they could not be read
    recovered_problem: Nullable<String>,
    /// The latest actions on events and dead letters
    actions: Vec<LatestAction>,
    /// Why some could not be read
    actions_problem: Nullable<String>,
    sparklines: Sparklines,
}
