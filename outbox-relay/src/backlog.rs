//! How far behind the relay is, measured now and then by the relay that publishes.

use std::time::{Duration, Instant};

use metrics::{describe_gauge, gauge};

use crate::database::{Database, DatabaseError};
use crate::queries;

const PENDING: &str = "outbox_relay_backlog_events";
const HELD_BACK: &str = "outbox_relay_held_back_events";
const STUCK: &str = "outbox_relay_stuck_events";
const AGE: &str = "outbox_relay_oldest_pending_age_seconds";

/// What each metric means. None is there before the backlog was measured: a zero would be a wrong one.
pub(crate) fn describe() {
    describe_gauge!(PENDING, "Events that are not published yet, counted up to 50000");
    describe_gauge!(
        HELD_BACK,
        "Events that failed and wait for their next attempt, or are stuck, counted up to 50000"
    );
    describe_gauge!(STUCK, "Events that no relay tries again by itself, counted up to 50000");
    describe_gauge!(AGE, "Age of the oldest event that is not published yet");
}

/// How often to measure.
const EVERY: Duration = Duration::from_secs(5);

/// Rows that are counted at the most, so that a huge backlog costs no more than a big one.
const COUNTED: i64 = 50_000;

/// When the backlog was measured last.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    measured: Option<Instant>,
}

impl Backlog {
    /// Measures the backlog when it is time.
    pub(crate) async fn measure(&mut self, database: &Database) -> Result<(), DatabaseError> {
        if self.measured.is_some_and(|measured| measured.elapsed() < EVERY) {
            return Ok(());
        }
        let row = queries::measure_backlog(database, COUNTED).await?;
        for (name, column) in [(PENDING, "pending"), (HELD_BACK, "held_back"), (STUCK, "stuck")] {
            let count: i64 = row.try_get(column)?;
            gauge!(name).set(u32::try_from(count).unwrap_or(u32::MAX));
        }
        let age: f64 = row.try_get("oldest_pending_age_seconds")?;
        gauge!(AGE).set(age.max(0.0));
        self.measured = Some(Instant::now());
        Ok(())
    }
}
