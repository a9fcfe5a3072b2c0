//! The events that a replay is about.

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::commands::queries::Filter;

/// Published events, by their ids or by a filter.
#[derive(Debug)]
pub(super) struct ReplaySelection {
    pub(super) event_ids: Option<Vec<Uuid>>,
    pub(super) filter: Filter,
    /// Only events with an id above this one.
    pub(super) above: i64,
    /// The highest id when they were counted. Events that are published later are left out.
    pub(super) highest: i64,
    /// How many they were then.
    pub(super) count: i64,
}

impl ReplaySelection {
    /// Creates a selection whose events are not counted yet.
    pub(super) const fn new(event_ids: Option<Vec<Uuid>>, filter: Filter, above: i64) -> Self {
        Self { event_ids, filter, above, highest: i64::MAX, count: 0 }
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
        let time = |time: Option<OffsetDateTime>| time.and_then(|time| time.format(&Rfc3339).ok());
        let Filter { aggregate, event_type, since, until } = &self.filter;
        let mut filter = json!({
            "event_ids": self.event_ids,
            "aggregate": aggregate,
            "type": event_type,
            "since": time(*since),
            "until": time(*until),
            "above_id": (self.above > 0).then_some(self.above),
        });
        if let Some(filter) = filter.as_object_mut() {
            filter.retain(|_, value| !value.is_null());
        }
        json!({ "filter": filter, "count": self.count }).to_string()
    }
}
