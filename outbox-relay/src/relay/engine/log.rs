//! What is logged of events that were not published, or can't be settled.

use tracing::field::display;

use crate::publish::event::Event;
use crate::publish::verdict::Verdict;
use crate::settle::batch::Disposition;
use crate::settle::unsettled::UnsettledEvent;

/// Logs that an event was not published. A retry is logged for debugging only: it shows in the
/// outbox and in the metrics, and there may be many at once.
pub(super) fn log_failure(event: &Event, verdict: &Verdict, disposition: Disposition) {
    let (Verdict::Failed(_, reason) | Verdict::Unpublishable(reason)) = verdict else {
        return;
    };
    let (event_id, trace_id) = (event.event_id, event.trace_id.map(display));
    let event_type = event.event_type.as_str();
    match disposition {
        Disposition::Stuck => {
            tracing::warn!(%event_id, trace_id, event_type, reason, "an event is stuck until somebody retries or discards it");
        }
        Disposition::Retry => {
            tracing::debug!(%event_id, trace_id, event_type, reason, "an event was not published and is tried again");
        }
    }
}

/// Logs that events can't be settled for now.
pub(super) fn log_unsettled(unsettled: &[UnsettledEvent]) {
    let Some(first) = unsettled.first() else {
        return;
    };
    tracing::warn!(
        events = unsettled.len(),
        event_id = %first.item.event_id,
        hindrance = first.error.kind(),
        reason = first.error.reason(),
        "events can't be settled, and their aggregates wait: trying again"
    );
}
