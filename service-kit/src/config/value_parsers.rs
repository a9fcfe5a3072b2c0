//! Parsers for the values of settings: durations, files that hold a value, URL parameters.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest duration that a setting may have.
const MAX_DURATION: Duration = Duration::from_hours(24);

/// A `value_parser` for `NAME_FILE`: the value is what the file holds, less the line's end.
///
/// # Errors
/// When the file can't be read, or what it holds is no valid `T`.
pub fn read_file<T>(path: &str) -> Result<T, String>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("the file {path} can't be read: {error}"))?;
    text.trim_end_matches(['\r', '\n'])
        .parse()
        .map_err(|error| format!("in the file {path}: {error}"))
}

/// A `value_parser` for times such as `5ms`, `30s` or `7d`.
///
/// # Errors
/// When `text` is no duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is no duration such as 5ms, 30s or 7d: {error}"))
}

/// A `value_parser` for times from `shortest` to `longest`. Without bounds a limit of 0 s may mean "no limit" to whoever
/// enforces it, and a very long one is too large for a number of milliseconds or a point in time.
pub fn duration_between(
    shortest: Duration,
    longest: Duration,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        let given = duration(text)?;
        if (shortest..=longest).contains(&given) {
            return Ok(given);
        }
        let (shortest, longest) =
            (humantime::format_duration(shortest), humantime::format_duration(longest));
        Err(format!("it must be from {shortest} to {longest}"))
    }
}

/// A `value_parser` for limits and pauses: 1 ms to a day.
///
/// # Errors
/// When `text` is no duration, or one outside the bounds.
pub fn limit(text: &str) -> Result<Duration, String> {
    duration_between(Duration::from_millis(1), MAX_DURATION)(text)
}

/// A `value_parser` for times that may also be nothing: 0 s to a day.
///
/// # Errors
/// When `text` is no duration, or one outside the bounds.
pub fn limit_or_none(text: &str) -> Result<Duration, String> {
    duration_between(Duration::ZERO, MAX_DURATION)(text)
}

/// Returns true if `name`, found behind the `?` of a URL, is certainly the name of a parameter and
/// not the end of a password in which `?` was not escaped: then an `@` would follow in `query`.
pub fn is_parameter_name(name: &str, query: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && !name.is_empty() && !query.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_bounds() {
        assert_eq!(limit("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(limit("24h"), Ok(MAX_DURATION));
        assert_eq!(limit_or_none("0s"), Ok(Duration::ZERO));
        for wrong in ["0s", "500us", "24h 1ns", "30d", "500000000000y"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
        for wrong in ["30d", "2000y"] {
            assert_eq!(limit_or_none(wrong), Err("it must be from 0s to 1day".to_owned()));
        }
    }
}
