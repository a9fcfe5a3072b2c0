//! Parsers for the values of settings: durations, files that hold a value, URL parameters.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest duration that a setting may have.
const MAX_DURATION: Duration = Duration::from_hours(24);

/// A `value_parser` for `NAME_FILE`: parses the content of the file, without the line ending.
///
/// # Errors
/// If the file can't be read or its content is not a valid `T`.
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

/// A `value_parser` for durations such as `5ms`, `30s` or `7d`.
///
/// # Errors
/// If `text` is not a duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is no duration such as 5ms, 30s or 7d: {error}"))
}

/// A `value_parser` for durations from `shortest` to `longest`. Bounds matter: some libraries take
/// a limit of 0 s for "no limit", and a very long one overflows a number of milliseconds or a point
/// in time.
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
/// If `text` is not a duration or is out of bounds.
pub fn limit(text: &str) -> Result<Duration, String> {
    duration_between(Duration::from_millis(1), MAX_DURATION)(text)
}

/// A `value_parser` for durations that may be zero: 0 s to a day.
///
/// # Errors
/// If `text` is not a duration or is out of bounds.
pub fn limit_or_none(text: &str) -> Result<Duration, String> {
    duration_between(Duration::ZERO, MAX_DURATION)(text)
}

/// Returns true if `name`, found after the `?` of a URL, is certainly a parameter's name, so that
/// an error message may quote it. If an `@` follows in `query`, it may be the end of a password in
/// which `?` was not escaped.
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
