//! Where an event is, and the pages that say so.

use poem_openapi::{Enum, Object};
use uuid::Uuid;

use super::events::{Event, EventWithContents};
use super::records::Pause;
use super::shapes::{Either, Nullable};

/// Whether an event has arrived
#[derive(Debug, Enum)]
#[oai(rename_all = "snake_case")]
pub(super) enum Answer {
    Delivered,
    OnItsWay,
    Unknown,
    /// A person must do something
    Failed,
}

/// What a consumer has done
#[derive(Debug, Enum)]
#[oai(rename_all = "snake_case")]
pub(super) enum KnownConsumerState {
    Applied,
    NotApplied,
    /// It handles no events of this type
    NotHandled,
}

/// Why it is not known what a consumer has done
#[derive(Debug, Object)]
pub(super) struct UnknownConsumerState {
    unknown: String,
}

/// A queue that may hold the event
#[derive(Debug, Object)]
pub(super) struct WaitingQueue {
    queue: String,
    is_dead_letter_queue: bool,
    messages: Nullable<u32>,
    reason: Nullable<String>,
}

#[derive(Debug, Object)]
pub(super) struct Consumer {
    name: String,
    state: Either<KnownConsumerState, UnknownConsumerState>,
    waiting: Option<Vec<WaitingQueue>>,
}

/// The relay that has the event's lane
#[derive(Debug, Object)]
pub(super) struct RelayName {
    pid: i32,
    name: Nullable<String>,
}

/// A dead letter with the event's id
#[derive(Debug, Object)]
pub(super) struct FoundLetter {
    id: i64,
    queue: String,
    state: String,
    error_kind: String,
    reason: Nullable<String>,
    tries: Nullable<i32>,
    returns: i32,
    collected_at: String,
    settled_at: Nullable<String>,
    settled_by: Nullable<String>,
}

/// Where one event is
#[derive(Debug, Object)]
pub(super) struct Location {
    event_id: Uuid,
    answer: Answer,
    /// Why that is the answer
    because: String,
    /// Null if it never existed, or was published and deleted
    event: Nullable<Event>,
    /// Other events of the transaction that wrote it
    written_with: Vec<Uuid>,
    /// The first of the later events of its aggregate that it holds back
    holds: Vec<Uuid>,
    /// How many it holds back
    holds_count: u64,
    /// Whether there may be more
    holds_is_capped: bool,
    pauses: Vec<Pause>,
    relay: Nullable<RelayName>,
    /// Whether it was sent and the broker's confirm is awaited
    in_flight: Nullable<bool>,
    consumers: Vec<Consumer>,
    dead_letters: Vec<FoundLetter>,
    /// Why dead letters were not looked for
    dead_letters_unknown: Nullable<String>,
}

/// Where events are, from their transaction to each consumer
#[derive(Debug, Object)]
pub(super) struct Where {
    /// The worst of all
    answer: Answer,
    events: Vec<Location>,
}

/// An event, and what is known of it
#[derive(Debug, Object)]
pub(in crate::console::api) struct EventPage {
    event: EventWithContents,
    /// Null if that could not be found out
    r#where: Nullable<Where>,
    /// Its state as a sentence
    sentence: String,
    /// What to do about it, if anything
    next_step: Nullable<String>,
    /// The page of its trace (`CONSOLE_TRACE_URL`)
    trace_url: Nullable<String>,
}

/// The events of an aggregate, newest first
#[derive(Debug, Object)]
pub(in crate::console::api) struct AggregatePage {
    aggregate_type: String,
    aggregate_id: String,
    /// The path of the next part, if there is one
    next: Nullable<String>,
    note: Nullable<String>,
    events: Vec<Event>,
    /// Where its newest events are
    r#where: Nullable<Where>,
}
