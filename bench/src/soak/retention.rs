//! How long relay and consumer keep events that are done with.

/// A retention, as relay and consumer are told it.
#[derive(Debug, Clone)]
pub(super) struct Retention(String);

impl Retention {
    pub(super) fn seconds(seconds: u64) -> Self {
        Self(format!("{seconds}s"))
    }

    pub(super) fn of_consumer(&self) -> [(&str, &str); 1] {
        [("PROCESSED_EVENTS_RETENTION", &self.0)]
    }

    pub(super) fn of_relay(&self) -> [(&str, &str); 1] {
        [("OUTBOX_RETENTION", &self.0)]
    }
}
