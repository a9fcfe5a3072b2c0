//! When an event was created, as its message says it.

use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::{datetime, format_description};
use tokio_postgres::types::{FromSql, Type};

/// See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct EventTime {
    /// RFC 3339 in UTC, with microseconds.
    pub(crate) rfc3339: String,
    /// Whole seconds since 1970.
    pub(crate) seconds: u64,
    /// Its age by the database's clock when it was loaded.
    age: Duration,
    loaded: Instant,
}

const RFC3339: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

impl EventTime {
    /// Returns `None` for a time that RFC 3339 (<https://www.rfc-editor.org/rfc/rfc3339>) or the
    /// message's timestamp can't express: before 1970, after the year 9999, infinity.
    pub(crate) fn new(
        created_at: Timestamp,
        loaded_at: Timestamp,
        loaded: Instant,
    ) -> Option<Self> {
        let time = created_at.time()?;
        // Negative after the clock was set back.
        let age = loaded_at.0.saturating_sub(created_at.0).max(0).unsigned_abs();
        Some(Self {
            rfc3339: time.format(RFC3339).ok()?,
            seconds: u64::try_from(time.unix_timestamp()).ok()?,
            age: Duration::from_micros(age),
            loaded,
        })
    }

    pub(crate) fn age(&self) -> Duration {
        self.age + self.loaded.elapsed()
    }
}

/// PostgreSQL's binary `timestamptz`: microseconds since its epoch, the ends of the range being the
/// infinities. Formatting it here costs the database nothing, and takes also the times that it
/// knows and `time` does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timestamp(i64);

const EPOCH: OffsetDateTime = datetime!(2000-01-01 00:00:00 UTC);

impl Timestamp {
    fn time(self) -> Option<OffsetDateTime> {
        EPOCH.checked_add(time::Duration::microseconds(self.0))
    }
}

impl<'a> FromSql<'a> for Timestamp {
    fn from_sql(
        ty: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        i64::from_sql(ty, raw).map(Self)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `2026-02-01T22:25:31.123456Z`, for the tests of messages.
    pub(crate) fn event_time() -> EventTime {
        let created_at = Timestamp(823_299_931_123_456);
        EventTime::new(created_at, created_at, Instant::now()).expect("a time that can be said")
    }

    #[test]
    fn a_time_is_said_in_utc_with_microseconds() {
        let time = event_time();
        assert_eq!(time.rfc3339, "2026-02-01T22:25:31.123456Z");
        assert_eq!(time.seconds, 1_769_984_731);
    }

    #[test]
    fn the_age_is_the_databases_and_never_negative() {
        let age = |loaded_at| {
            let time = EventTime::new(Timestamp(0), Timestamp(loaded_at), Instant::now());
            time.expect("the year 2000").age().as_secs()
        };
        assert_eq!(age(90_000_000), 90);
        assert_eq!(age(-90_000_000), 0);
    }

    #[test]
    fn what_a_message_can_not_say_is_left_out() {
        let first = -946_684_800_000_000;
        let last = 252_455_615_999_999_999;
        let said = |micros| EventTime::new(Timestamp(micros), Timestamp(0), Instant::now());
        assert_eq!(said(first).expect("1970").rfc3339, "1970-01-01T00:00:00.000000Z");
        assert_eq!(said(last).expect("9999").rfc3339, "9999-12-31T23:59:59.999999Z");
        for other in [first - 1, last + 1, i64::MIN, i64::MAX] {
            assert!(said(other).is_none(), "{other}");
        }
    }
}
