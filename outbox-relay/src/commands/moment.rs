//! A time as people give it: so long ago, or a date.

use std::str::FromStr;
use std::time::Duration;

use service_kit::config::duration_between;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::queries;
use super::session::Session;

/// What was longer ago is a mistake, and no time that PostgreSQL knows.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 1000);

/// A time, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// So long before now.
    Ago(Duration),
    /// At this time.
    At(OffsetDateTime),
}

impl Moment {
    /// The time by the database's clock.
    pub(super) async fn resolve(self, session: &Session) -> anyhow::Result<OffsetDateTime> {
        match self {
            Self::Ago(span) => queries::ago(session, span).await,
            Self::At(time) => Ok(time),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
            return Ok(Self::At(time));
        }
        duration_between(Duration::ZERO, LONGEST)(text).map(Self::Ago).map_err(|_| {
            "it must be how long ago, as 90m or 7d, or a time as 2026-02-01T22:25:31Z".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_span_or_a_date() {
        let parse = str::parse::<Moment>;
        assert_eq!(parse("90m"), Ok(Moment::Ago(Duration::from_mins(90))));
        assert_eq!(
            parse("2026-02-01T23:25:31+01:00"),
            Ok(Moment::At(OffsetDateTime::from_unix_timestamp(1_769_984_731).expect("a time")))
        );
        for wrong in ["", "yesterday", "2026-02-01", "-1h", "2000000y"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
