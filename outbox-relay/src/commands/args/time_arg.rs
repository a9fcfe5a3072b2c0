//! A time on the command line: an age or a date.

use std::str::FromStr;
use std::time::Duration;

use service_kit::config::duration_between;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::commands::queries;
use crate::commands::session::{Session, Tables};

/// A longer age is a mistake, and out of PostgreSQL's range.
const MAX_AGE: Duration = Duration::from_hours(24 * 365 * 1000);

/// An age or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum TimeArg {
    /// This long before now.
    Ago(Duration),
    /// At this time.
    At(OffsetDateTime),
}

impl TimeArg {
    /// Returns the time by the database's clock.
    pub(in crate::commands) async fn resolve<T: Tables>(
        self,
        session: &Session<T>,
    ) -> anyhow::Result<OffsetDateTime> {
        match self {
            Self::Ago(age) => queries::ago(session, age).await,
            Self::At(time) => Ok(time),
        }
    }
}

impl TimeArg {
    /// Returns the time as RFC 3339, by the database's clock.
    pub(in crate::commands) async fn resolve_optional<T: Tables>(
        time: Option<Self>,
        session: &Session<T>,
    ) -> anyhow::Result<Option<String>> {
        match time {
            Some(time) => Ok(Some(time.resolve(session).await?.format(&Rfc3339)?)),
            None => Ok(None),
        }
    }
}

impl FromStr for TimeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
            return Ok(Self::At(time));
        }
        duration_between(Duration::ZERO, MAX_AGE)(text).map(Self::Ago).map_err(|_| {
            "it must be an age, such as 90m or 7d, or a time, such as 2026-02-01T22:25:31Z"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_age_or_a_date() {
        let parse = str::parse::<TimeArg>;
        assert_eq!(parse("90m"), Ok(TimeArg::Ago(Duration::from_mins(90))));
        assert_eq!(
            parse("2026-02-01T23:25:31+01:00"),
            Ok(TimeArg::At(OffsetDateTime::from_unix_timestamp(1_769_984_731).expect("a time")))
        );
        for wrong in ["", "yesterday", "2026-02-01", "-1h", "2000000y"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
