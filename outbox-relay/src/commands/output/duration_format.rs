//! Ages and delays in a readable form.

use std::time::Duration;

/// Formats an age: `3m 12s`, `4d 2h`, `350ms`, or `?` if it is unknown.
pub(in crate::commands) fn age(seconds: Option<f64>) -> String {
    match seconds {
        Some(seconds) => format_seconds(seconds),
        None => "?".to_owned(),
    }
}

/// Formats a duration in one unit or in two adjacent ones.
pub(in crate::commands) fn format_seconds(seconds: f64) -> String {
    // A clock that was set back makes an age negative.
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    if duration < Duration::from_secs(1) {
        return format!("{}ms", duration.as_millis());
    }
    if duration < Duration::from_secs(10) {
        return format!("{:.1}s", duration.as_secs_f64());
    }
    let seconds = duration.as_secs();
    let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let first = units.iter().position(|&(_, length)| seconds >= length).unwrap_or(units.len() - 1);
    let (unit, length) = units[first];
    let (count, rest) = (seconds / length, seconds % length);
    match units.get(first + 1) {
        Some((smaller, length)) if rest >= *length => {
            format!("{count}{unit} {}{smaller}", rest / length)
        }
        _ => format!("{count}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        for (seconds, text) in [
            (-3.0, "0ms"),
            (0.0123, "12ms"),
            (9.96, "10.0s"),
            (59.9, "59s"),
            (192.0, "3m 12s"),
            (7200.0, "2h"),
            (90_061.0, "1d 1h"),
            (f64::INFINITY, "0ms"),
            (172_815.0, "2d"),
            (40_000_000.0, "462d 23h"),
        ] {
            assert_eq!(format_seconds(seconds), text, "{seconds}");
        }
        assert_eq!(age(None), "?");
    }
}
