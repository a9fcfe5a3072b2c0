//! The outcomes of a batch: which messages are done, and why the others are redirected.

use std::collections::HashMap;

use time::OffsetDateTime;
use uuid::Uuid;

use super::counter::EventOutcome;
use super::message::Parsed;
use super::metrics;
use super::retry_policy::FailureKind;

/// The outcome of each event of a batch, and their totals.
pub(super) struct Outcomes {
    events: HashMap<Uuid, EventOutcome>,
    counted: usize,
    occurred_at: Vec<OffsetDateTime>,
    duplicates: usize,
    ignored: usize,
    /// How many events are blocked by another session, and the reason of the first.
    blocked: Option<(usize, String)>,
}

impl Outcomes {
    pub(super) const fn new(events: HashMap<Uuid, EventOutcome>) -> Self {
        Self {
            events,
            counted: 0,
            occurred_at: Vec::new(),
            duplicates: 0,
            ignored: 0,
            blocked: None,
        }
    }

    /// Records the outcome of a message. Returns why it must be redirected, or `None` if it is
    /// done. Copies of an event share its outcome, except that only the first one was counted.
    pub(super) fn record(&mut self, parsed: &Parsed) -> Option<(String, FailureKind)> {
        let order = match parsed {
            Parsed::Ignored => {
                self.ignored += 1;
                return None;
            }
            Parsed::Malformed(reason) => return Some((reason.clone(), FailureKind::Permanent)),
            Parsed::Order(order) => order,
        };
        match self.events.get_mut(&order.event_id) {
            Some(outcome @ EventOutcome::Counted) => {
                self.counted += 1;
                self.occurred_at.extend(order.occurred_at);
                *outcome = EventOutcome::Duplicate;
                None
            }
            Some(EventOutcome::Duplicate) => {
                self.duplicates += 1;
                None
            }
            Some(EventOutcome::Refused(reason)) => {
                let reason = format!("the database refuses the event: {reason}");
                Some((reason, FailureKind::Retryable))
            }
            Some(EventOutcome::Blocked(reason)) => {
                self.blocked.get_or_insert_with(|| (0, reason.clone())).0 += 1;
                Some((reason.clone(), FailureKind::Uncharged))
            }
            // Every event has an outcome. One without would be retried rather than lost.
            Some(EventOutcome::UnknownCustomer) | None => {
                let reason = format!("customer {} is unknown", order.customer_id);
                Some((reason, FailureKind::Retryable))
            }
        }
    }

    /// Updates the metrics, and logs blocked events.
    pub(super) fn report(&self) {
        if let Some((events, reason)) = &self.blocked {
            tracing::warn!(
                events,
                reason,
                "events blocked by another session: they will be tried again"
            );
        }
        metrics::events("counted", self.counted);
        metrics::events("duplicate", self.duplicates);
        metrics::events("ignored", self.ignored);
        let now = OffsetDateTime::now_utc();
        metrics::lags(self.occurred_at.iter().map(|&occurred_at| now - occurred_at));
    }
}
