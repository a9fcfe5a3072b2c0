//! How far behind the relay is, measured every few seconds beside the loop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::{describe_gauge, gauge};

use crate::database::queries::{self, InspectStatements, OldestPending};
use crate::database::{DatabaseError, Session};

const PENDING: &str = "outbox_relay_backlog_events";
const HELD_BACK: &str = "outbox_relay_held_back_events";
const STUCK: &str = "outbox_relay_stuck_events";
const SCHEDULED: &str = "outbox_relay_scheduled_events";
const AGE: &str = "outbox_relay_oldest_pending_age_seconds";

/// Describes the metrics. They have no value before the backlog was measured: zero would be wrong.
pub(crate) fn describe() {
    describe_gauge!(PENDING, "Events that are not published yet, counted up to 50000");
    describe_gauge!(
        HELD_BACK,
        "Events that failed and wait for their next attempt, or are stuck, counted up to 50000"
    );
    describe_gauge!(STUCK, "Events that no relay tries again by itself, counted up to 50000");
    describe_gauge!(
        SCHEDULED,
        "Events that are written for later, or for a person to let go, counted up to 50000"
    );
    describe_gauge!(
        AGE,
        "Age of the oldest event that is not published yet, but for those that are written for later"
    );
}

/// The most rows that are counted, so that a huge backlog costs no more than a big one.
const COUNTED: i64 = 50_000;

/// How long the beginning of the backlog passes for scheduled.
const LOOK_AGAIN_AFTER: Duration = Duration::from_mins(2);

/// How many times [`COUNTED`] events one measurement looks at for one that is not scheduled.
const MOST_SLICES: usize = 40;

/// After this long without a measurement the metrics become NaN: the last values would pass for
/// present ones. Not sooner, so that a session that is lost and opened again leaves no gap in a
/// graph.
const KNOWN_FOR: Duration = Duration::from_mins(1);

/// When the backlog was measured last, while the metrics show it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Backlog {
    measured: Arc<Mutex<Option<Instant>>>,
    scheduled: Arc<Mutex<ScheduledPart>>,
}

/// The beginning of the backlog, in which all events are scheduled.
#[derive(Debug, Clone, Copy)]
struct ScheduledPart {
    /// Up to this id.
    end: i64,
    /// When it was looked at from its start.
    since: Option<Instant>,
}

impl Default for ScheduledPart {
    fn default() -> Self {
        Self { end: i64::MIN, since: None }
    }
}

impl Backlog {
    /// How often to measure.
    pub(crate) const EVERY: Duration = Duration::from_secs(5);

    pub(crate) async fn measure(
        &self,
        session: &Session,
        statements: &InspectStatements,
    ) -> Result<(), DatabaseError> {
        let row = queries::measure_backlog(session, statements, COUNTED).await?;
        for (name, column) in [
            (PENDING, "pending"),
            (HELD_BACK, "held_back"),
            (STUCK, "stuck"),
            (SCHEDULED, "scheduled"),
        ] {
            let count: i64 = row.try_get(column)?;
            gauge!(name).set(u32::try_from(count).unwrap_or(u32::MAX));
        }
        gauge!(AGE).set(self.oldest_age(session, statements).await?);
        *self.measured() = Some(Instant::now());
        Ok(())
    }

    /// Returns the age of the oldest event that is not scheduled, in seconds; NaN behind very many
    /// that are.
    async fn oldest_age(
        &self,
        session: &Session,
        statements: &InspectStatements,
    ) -> Result<f64, DatabaseError> {
        let mut part = *self.scheduled.lock().unwrap_or_else(PoisonError::into_inner);
        // One of them may be due by now.
        if part.since.is_none_or(|since| since.elapsed() >= LOOK_AGAIN_AFTER) {
            part = ScheduledPart { since: Some(Instant::now()), ..ScheduledPart::default() };
        }
        let mut age = f64::NAN;
        for _ in 0..MOST_SLICES {
            match queries::find_oldest(session, statements, part.end, COUNTED).await? {
                OldestPending::AgeSeconds(seconds) => age = seconds,
                OldestPending::None => age = 0.0,
                OldestPending::Above(end) => {
                    part.end = end;
                    continue;
                }
            }
            break;
        }
        *self.scheduled.lock().unwrap_or_else(PoisonError::into_inner) = part;
        Ok(age)
    }

    /// Withdraws what was measured long ago: the metrics become NaN, for which no comparison holds.
    pub(crate) fn expire(&self) {
        let mut measured = self.measured();
        if measured.is_some_and(|measured| measured.elapsed() >= KNOWN_FOR) {
            *measured = None;
            for name in [PENDING, HELD_BACK, STUCK, SCHEDULED, AGE] {
                gauge!(name).set(f64::NAN);
            }
        }
    }

    fn measured(&self) -> MutexGuard<'_, Option<Instant>> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_a_minute_ago_is_shown_no_longer() {
        let shown = service_kit::telemetry::prometheus();
        let names = [PENDING, HELD_BACK, STUCK, SCHEDULED, AGE];
        let all_say = |value: &str| {
            let text = shown.render();
            names.iter().all(|name| text.lines().any(|line| line == format!("{name} {value}")))
        };
        let backlog = Backlog::default();
        let measured_before = |age: Duration| {
            names.iter().for_each(|name| gauge!(*name).set(7));
            *backlog.measured() = Instant::now().checked_sub(age);
            backlog.expire();
        };
        backlog.expire();
        assert!(names.iter().all(|name| !shown.render().contains(name)), "nothing was measured");
        measured_before(KNOWN_FOR - Duration::from_secs(20));
        assert!(all_say("7"), "{}", shown.render());
        measured_before(KNOWN_FOR);
        assert!(all_say("NaN"), "{}", shown.render());
        measured_before(Duration::ZERO);
        assert!(all_say("7"), "it is measured again: {}", shown.render());
    }
}
