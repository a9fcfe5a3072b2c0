//! What became of the events of a batch.

use std::collections::HashMap;

use time::OffsetDateTime;
use uuid::Uuid;

use super::counter::EventOutcome;
use super::message::Parsed;
use super::metrics;
use super::retry_policy::FailureKind;

/// The outcomes of a batch, and what they came to.
pub(super) struct Outcomes {
    events: HashMap<Uuid, EventOutcome>,
    counted: usize,
    occurred_at: Vec<OffsetDateTime>,
    duplicates: usize,
    ignored: usize,
    /// Events that wait for somebody else, and why the first of them does.
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

    /// Why the message is to be moved, and with what kind; nothing when it is done. Copies of one event in a batch share its
    /// outcome, except that only the first of them was counted.
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
            // Each event that was applied has an outcome; one without is to be tried again rather than lost.
            Some(EventOutcome::UnknownCustomer) | None => {
                let reason = format!("customer {} is unknown", order.customer_id);
                Some((reason, FailureKind::Retryable))
            }
        }
    }

    /// Tells metrics and log.
    pub(super) fn report(&self) {
        if let Some((events, reason)) = &self.blocked {
            tracing::warn!(
                events,
                reason,
                "events wait for what another session does, and are tried again"
            );
        }
        metrics::events("counted", self.counted);
        metrics::events("duplicate", self.duplicates);
        metrics::events("ignored", self.ignored);
        let now = OffsetDateTime::now_utc();
        metrics::lags(self.occurred_at.iter().map(|&occurred_at| now - occurred_at));
    }
}
