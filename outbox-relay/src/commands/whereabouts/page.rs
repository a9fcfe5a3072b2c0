//! Lays out what `where` prints about an event.

use std::fmt::Write as _;

use super::location::{Answer, Consumer, ConsumerState, Location};
use super::places::DeadLetter;
use crate::commands::event::{Event, State, aggregate};
use crate::commands::output::duration_format::age;
use crate::commands::output::{BOLD, counted, escape};

/// The maximum number of other events of a transaction that are counted.
pub(super) const NEIGHBOURS: usize = 20;

/// The maximum length of a printed error, in characters.
const ERROR_LIMIT: usize = 300;

/// Lays out all that is known about an event on one screen.
pub(super) fn render(location: &Location) -> String {
    let mut page = String::new();
    let mut field = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _infallible = writeln!(page, "{BOLD}{name:<14}{BOLD:#}{}", escape::line(value));
    };
    field("event", &location.event_id.to_string());
    if let Some(located) = &location.event {
        let event = &located.event;
        let of = aggregate(&event.aggregate_type, &event.aggregate_id);
        field("type", &format!("{} of {of}", event.event_type));
        field("written", &written(event, location.written_with.len()));
        field("outbox", &state(event));
    } else {
        field("outbox", "it has no such event");
    }
    if let Some(first) = location.held.first.first() {
        let count = usize::try_from(location.held.count).unwrap_or(usize::MAX);
        let or_more = if location.held.is_capped { " or more" } else { "" };
        let events = counted(count, "later event");
        field("holds back", &format!("{events}{or_more} of its aggregate, the first {first}"));
    }
    for pause in &location.pauses {
        field("paused", &format!("{} by {}, pause {}", pause.what(), pause.actor, pause.id));
    }
    if let Some(relay) = &location.relay {
        let name = relay.name.as_deref().unwrap_or("a relay");
        field("relay", &format!("{name} (pid {}) has its lane", relay.pid));
    }
    for consumer in &location.consumers {
        field("consumer", &consumer_line(consumer));
    }
    for letter in &location.dead_letters {
        field("dead letter", &letter_line(letter));
    }
    if let Some(reason) = &location.dead_letters_unknown {
        field("dead letters", &format!("unknown: {reason}"));
    }
    let answer = match location.answer {
        Answer::Delivered => "delivered",
        Answer::OnItsWay => "on its way",
        Answer::Unknown => "unknown",
        Answer::Failed => "failed",
    };
    field("answer", &format!("{answer}: {}", location.because));
    page
}

fn written(event: &Event, others: usize) -> String {
    let ago = event
        .age_seconds
        .map_or_else(String::new, |age_seconds| format!(" ({} ago)", age(Some(age_seconds))));
    let with = match others {
        0 => String::new(),
        NEIGHBOURS.. => format!(", with {others} or more other events of its transaction"),
        _ => format!(", with {} of its transaction", counted(others, "other event")),
    };
    format!("{}{ago}{with}", event.created_at)
}

fn state(event: &Event) -> String {
    let state = event.state.describe(event.waits_behind_id);
    let error = event.last_error.as_deref().unwrap_or_default();
    let error = escape::truncated(error, ERROR_LIMIT);
    match (event.state, &event.next_attempt_at) {
        (State::Published, _) => {
            format!("published {}", event.published_at.as_deref().unwrap_or_default())
        }
        (State::Behind, _) => match event.waits_behind {
            Some(ahead) => format!("{state}: event {ahead}, which failed"),
            None => state,
        },
        (State::Waiting, Some(next)) => format!("waiting until {next}: {error}"),
        (State::Scheduled, Some(next)) => format!("scheduled for {next}"),
        (State::Stuck, _) => format!("stuck after {} attempts: {error}", event.attempts),
        _ => state,
    }
}

fn consumer_line(Consumer { name, state, waiting, .. }: &Consumer) -> String {
    let state = match state {
        ConsumerState::Applied => "has applied it".to_owned(),
        ConsumerState::NotApplied => "has not applied it".to_owned(),
        ConsumerState::NotHandled => "handles no events of its type".to_owned(),
        ConsumerState::Unknown(reason) => format!("is unknown: {reason}"),
    };
    let waiting: String = waiting.iter().map(|queue| format!("; {}", queue.sentence())).collect();
    format!("{name} {state}{waiting}")
}

fn letter_line(letter: &DeadLetter) -> String {
    let DeadLetter { id, queue, state, error_kind, .. } = letter;
    let reason = letter
        .reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(": {}", escape::truncated(reason, ERROR_LIMIT)));
    let tries = letter.tries.map_or_else(String::new, |tries| format!(" after {tries} tries"));
    let by = match (&letter.settled_by, &letter.settled_at) {
        (Some(by), Some(at)) => format!(" by {by} at {at}"),
        _ => String::new(),
    };
    format!("{id} of {queue}, {state}{by}: {error_kind}{tries}{reason}")
}
