//! Ages and delays, for people.

use std::time::Duration;

/// An age in seconds: `3m 12s`, `4d 2h`, `0.35s`.
pub(super) fn age(seconds: Option<f64>) -> String {
    match seconds {
        Some(seconds) => from_seconds(seconds),
        None => "?".to_owned(),
    }
}

/// A time in seconds in at most two units.
pub(super) fn from_seconds(seconds: f64) -> String {
    // A clock that was set back makes an event come from the future.
    let span = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    if span < Duration::from_secs(1) {
        return format!("{}ms", span.as_millis());
    }
    if span < Duration::from_secs(10) {
        return format!("{:.1}s", span.as_secs_f64());
    }
    let text = humantime::format_duration(Duration::from_secs(span.as_secs())).to_string();
    let mut parts = text.split(' ').map(short);
    match (parts.next(), parts.next()) {
        (Some(first), Some(second)) => format!("{first} {second}"),
        (first, _) => first.unwrap_or_default(),
    }
}

/// `3days` as `3d`, `2months` as `2mo`.
fn short(part: &str) -> String {
    let digits = part.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match part[digits.len()..].trim_end_matches('s') {
        "year" => "y",
        "month" => "mo",
        "day" => "d",
        // `s` itself is all gone.
        "" => "s",
        unit => unit,
    };
    format!("{digits}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_are_enough() {
        for (seconds, text) in [
            (-3.0, "0ms"),
            (0.0123, "12ms"),
            (9.96, "10.0s"),
            (59.9, "59s"),
            (192.0, "3m 12s"),
            (7200.0, "2h"),
            (90_061.0, "1d 1h"),
            (f64::INFINITY, "0ms"),
            (40_000_000.0, "1y 3mo"),
        ] {
            assert_eq!(from_seconds(seconds), text, "{seconds}");
        }
        assert_eq!(age(None), "?");
    }
}
