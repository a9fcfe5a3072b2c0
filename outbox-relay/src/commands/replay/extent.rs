//! What is to be published again.

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::queries;
use crate::commands::selection::Filter;
use crate::commands::session::Session;

/// Published events that were asked for, as many as there were when they were counted.
#[derive(Debug)]
pub(super) struct Extent {
    pub(super) event_ids: Option<Vec<Uuid>>,
    pub(super) filter: Filter,
    /// Only ids above this one.
    pub(super) above: i64,
    /// The highest id: what is published later is not of this replay.
    pub(super) highest: i64,
    pub(super) count: i64,
}

impl Extent {
    pub(super) async fn count(
        session: &Session,
        event_ids: Option<Vec<Uuid>>,
        filter: Filter,
        above: i64,
    ) -> anyhow::Result<Self> {
        let mut extent = Self { event_ids, filter, above, highest: i64::MAX, count: 0 };
        (extent.count, extent.highest) = queries::count_published(session, &extent).await?;
        Ok(extent)
    }

    /// The event, when it is one that was named.
    pub(super) fn only_event(&self) -> Option<Uuid> {
        match self.event_ids.as_deref() {
            Some([event_id]) => Some(*event_id),
            _ => None,
        }
    }

    /// What the audit table is told.
    pub(super) fn detail(&self) -> String {
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
