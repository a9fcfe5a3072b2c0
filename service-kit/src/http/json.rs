//! JSON values read one level at a time, so that numbers keep their digits and nesting uses no
//! stack.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::value::RawValue;
use uuid::Uuid;

pub use super::number::normalize_number;
use super::visible::is_visible;

/// One JSON value. Members of an object are parsed on demand.
#[derive(Debug)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, as written.
    Number(&'a str),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    Array,
    /// The members of an object in order, including repeated names.
    Object(Vec<(Cow<'a, str>, &'a RawValue)>),
}

impl<'a> Json<'a> {
    /// Reads one level of `raw`, whose syntax was checked when it was parsed as a [`RawValue`].
    ///
    /// # Errors
    /// If a string has an escape that is not a character, such as half a surrogate pair.
    pub fn read(raw: &'a RawValue) -> Result<Self, serde_json::Error> {
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let mut reader = serde_json::Deserializer::from_str(text);
                Self::Object(reader.deserialize_map(Members)?)
            }
            Some(b'[') => Self::Array,
            Some(b'"') => Self::Text(serde_json::from_str::<Text<'_>>(text)?.0),
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') => Self::Null,
            _ => Self::Number(text),
        })
    }

    /// Returns the type as error messages name it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// A string or a member's name, borrowed unless it holds escapes: serde borrows only within a type.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(members)
    }
}

/// A type that is parsed from a JSON value. A fault completes a sentence that begins with the
/// member's name: `must be a string, not null`.
pub trait FromJson: Sized {
    /// Parses `value`.
    ///
    /// # Errors
    /// Every rule that the value breaks.
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>>;
}

/// Parses one line of text: at least one visible character, at most `max` characters, no control
/// characters, no line or paragraph separators.
///
/// # Errors
/// Every rule that `value` breaks.
pub fn line(value: Json<'_>, max: usize) -> Result<String, Vec<String>> {
    let text = match value {
        Json::Text(text) => text.into_owned(),
        other => return Err(vec![format!("must be a string, not {}", other.kind())]),
    };
    let mut faults = Vec::new();
    if text.trim().is_empty() {
        faults.push("must not be blank".to_owned());
    } else if !text.chars().any(is_visible) {
        faults.push("must hold something visible".to_owned());
    }
    let length = text.chars().count();
    if length > max {
        faults.push(format!("must have at most {max} characters, not {length}"));
    }
    if text.chars().any(char::is_control) {
        faults.push("must not contain control characters".to_owned());
    }
    if text.contains(['\u{2028}', '\u{2029}']) {
        faults.push("must not contain line or paragraph separators".to_owned());
    }
    if faults.is_empty() { Ok(text) } else { Err(faults) }
}

/// Parses an integer within `range`.
///
/// # Errors
/// If `value` is anything else.
pub fn integer(value: &Json<'_>, range: RangeInclusive<i32>) -> Result<i32, Vec<String>> {
    let rule = || format!("must be an integer from {} to {}", range.start(), range.end());
    match value {
        Json::Number(text) => normalize_number(text)
            .and_then(|text| text.parse().ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| vec![rule()]),
        other => Err(vec![format!("{}, not {}", rule(), other.kind())]),
    }
}

/// Parses a UUID in its hyphenated form of 36 characters.
///
/// # Errors
/// If `value` is anything else.
pub fn uuid(value: &Json<'_>) -> Result<Uuid, Vec<String>> {
    match value {
        Json::Text(text) => parse_uuid(text).ok_or_else(|| vec!["must be a UUID".to_owned()]),
        other => Err(vec![format!("must be a UUID, not {}", other.kind())]),
    }
}

/// Parses the hyphenated form of a UUID only, as ids are compared as strings elsewhere.
#[must_use]
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_may_be_written_with_a_point() {
        let read = |text| integer(&Json::Number(text), 1..=1_000_000);
        assert_eq!(read("5.0"), Ok(5));
        assert_eq!(read("1e6"), Ok(1_000_000));
        for wrong in ["0", "-1", "1.5", "1000001", "1e300", "99999999999999999999"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_breaks_several_rules_at_once() {
        let faults =
            line(Json::Text(format!("{}\0", "é".repeat(255)).into()), 255).expect_err("faults");
        assert_eq!(
            faults,
            ["must have at most 255 characters, not 256", "must not contain control characters"]
        );
        assert!(line(Json::Text("é".repeat(255).into()), 255).is_ok());
        assert!(line(Json::Text(" \u{a0}\u{3000}".into()), 255).is_err());
    }

    #[test]
    fn a_line_holds_something_visible_and_is_one_line() {
        let told = |text: &str| line(Json::Text(text.into()), 255).err().unwrap_or_default();
        for empty in ["\u{200b}", " \u{200f}\u{2060} ", "\u{feff}", "\u{ad}\u{3164}\u{2800}"] {
            assert_eq!(told(empty), ["must hold something visible"], "{empty:?}");
        }
        for apart in ["a\u{2028}b", "a\u{2029}"] {
            assert_eq!(told(apart), ["must not contain line or paragraph separators"]);
        }
        assert_eq!(
            told("\u{2028}\u{200b}"),
            ["must hold something visible", "must not contain line or paragraph separators"]
        );
        for good in ["a\u{200b}b", "👩\u{200d}🚀", "می\u{200c}خواهم", "é", "-"] {
            assert_eq!(told(good), [""; 0], "{good:?}");
        }
    }

    #[test]
    fn only_the_usual_form_of_a_uuid_is_one() {
        assert!(parse_uuid("11111111-1111-1111-1111-111111111111").is_some());
        for other in
            ["11111111111111111111111111111111", "{11111111-1111-1111-1111-111111111111}", ""]
        {
            assert_eq!(parse_uuid(other), None, "{other}");
        }
    }
}
