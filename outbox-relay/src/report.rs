//! What the log is told of events that were not published.

use tracing::field::display;

use crate::publish::event::Event;
use crate::publish::verdict::Verdict;
use crate::settle::batch::Failed;
use crate::settle::unsettled::Unsettled;

/// An event was not published. That it is tried again is seen in the outbox and in the metrics; many may be at once.
pub(crate) fn failed(event: &Event, verdict: &Verdict, means: Failed) {
    let (Verdict::Failed(_, reason) | Verdict::Impossible(reason)) = verdict else {
        return;
    };
    let (event_id, trace_id) = (event.event_id, event.trace_id.map(display));
    let event_type = event.event_type.as_str();
    match means {
        Failed::Stuck => {
            tracing::warn!(%event_id, trace_id, event_type, reason, "an event is stuck until somebody retries or discards it");
        }
        Failed::Waits => {
            tracing::debug!(%event_id, trace_id, event_type, reason, "an event was not published and is tried again");
        }
    }
}

/// The outcome of events is known, and can't be written into their rows for now.
pub(crate) fn unsettled(unsettled: &[Unsettled]) {
    let Some(first) = unsettled.first() else {
        return;
    };
    tracing::warn!(
        events = unsettled.len(),
        event_id = %first.item.event_id,
        hindrance = first.hindrance.kind(),
        reason = first.hindrance.reason(),
        "events can't be settled, and their aggregates wait: trying again"
    );
}
