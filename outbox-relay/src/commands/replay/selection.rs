//! The events that a replay is about.

use serde_json::json;
use uuid::Uuid;

use crate::commands::event::Event;
use crate::commands::queries::{Contents, Filter, find_event, list_events};
use crate::commands::selection::{EXAMPLES, POLICY};
use crate::commands::session::Session;

/// Published events, by their ids or by a filter.
#[derive(Debug)]
pub(super) struct ReplaySelection {
    pub(super) event_ids: Option<Vec<Uuid>>,
    pub(super) filter: Filter,
    /// The highest id when they were counted.
    pub(super) highest: i64,
    /// When a filter's were counted. Events that were published later are left out.
    pub(super) counted_at: Option<String>,
    /// How many they were then.
    pub(super) count: i64,
}

impl ReplaySelection {
    /// Creates a selection whose events are not counted yet.
    pub(super) const fn new(event_ids: Option<Vec<Uuid>>, filter: Filter) -> Self {
        Self { event_ids, filter, highest: i64::MAX, counted_at: None, count: 0 }
    }

    /// Some of the events, the newest first.
    pub(super) async fn examples(&self, session: &Session) -> anyhow::Result<Vec<Event>> {
        if let Some(event_ids) = &self.event_ids {
            let mut events = Vec::new();
            for event_id in event_ids.iter().take(EXAMPLES) {
                let event: Option<Event> =
                    find_event(session, *event_id, Contents::NONE, POLICY).await?;
                events.extend(event.filter(|event| event.published_at.is_some()));
            }
            return Ok(events);
        }
        let limit = u32::try_from(EXAMPLES)?;
        list_events(session, true, &self.filter, limit, POLICY).await
    }

    /// Returns the event if exactly one was named.
    pub(super) fn only_event(&self) -> Option<Uuid> {
        match self.event_ids.as_deref() {
            Some([event_id]) => Some(*event_id),
            _ => None,
        }
    }

    /// Returns the JSON that the audit table records.
    pub(super) fn audit_detail(&self) -> String {
        let Filter { aggregate, aggregate_type, event_type, .. } = &self.filter;
        let mut filter = json!({
            "event_ids": self.event_ids,
            "aggregate": aggregate,
            "aggregate_type": aggregate_type,
            "type": event_type,
            "fingerprint": self.filter.fingerprint,
            "kind": self.filter.kind,
            "error": self.filter.error,
            "since": self.filter.published_since,
            "until": self.filter.published_until,
            "above_id": self.filter.above_id,
            "up_to_id": self.filter.up_to_id,
        });
        if let Some(filter) = filter.as_object_mut() {
            filter.retain(|_, value| !value.is_null());
        }
        json!({ "filter": filter, "count": self.count }).to_string()
    }
}
