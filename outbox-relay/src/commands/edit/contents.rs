//! The contents that a person gives.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json;
use crate::commands::outcome::UsageError;

/// The longest text that is read: more than a relay can be told to load.
pub(in crate::commands) const LONGEST: u64 = 128 << 20;

/// A `value_parser` for a hash of contents.
pub(in crate::commands) fn digest(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("it must be the digest that show --json prints: hexadecimal digits".to_owned())
}

/// Contents that can't be those of an event.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::commands) struct Invalid(pub(in crate::commands) String);

/// The new contents of an event, and its new time; what is `None` stays as it is. The JSON is text, so that numbers
/// keep their digits.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) event_type: Option<String>,
    pub(super) headers: Option<String>,
    pub(super) payload: Option<String>,
    /// When to publish it, as PostgreSQL reads it.
    pub(super) at: Option<String>,
}

impl Edit {
    /// Reads the files of the payload and of the headers.
    pub(super) fn read(
        [payload, headers]: [Option<&Path>; 2],
        event_type: Option<String>,
        at: Option<String>,
    ) -> anyhow::Result<Self> {
        let is_stdin = |path: &Option<&Path>| path.is_some_and(|path| path == Path::new("-"));
        if [payload, headers].iter().all(is_stdin) {
            let sentence = "--payload-file and --headers-file can't both be standard input";
            return Err(UsageError(sentence.to_owned()).into());
        }
        Ok(Self {
            event_type,
            headers: headers.map(|path| read_json(path, "headers")).transpose()?,
            payload: payload.map(|path| read_json(path, "payload")).transpose()?,
            at,
        })
    }
}

fn read_json(path: &Path, name: &str) -> anyhow::Result<String> {
    let (path, text) = if path == Path::new("-") {
        ("standard input".to_owned(), read(&mut stdin()))
    } else {
        let file = File::open(path).map_err(anyhow::Error::from);
        (path.display().to_string(), file.and_then(|mut file| read(&mut file)))
    };
    let text = text.with_context(|| format!("the {name} can't be read from {path}"))?;
    json::validate(&text)
        .map_err(|wrong| Invalid(format!("{path} is no JSON ({name}): {wrong}")))?;
    Ok(text)
}

fn read(source: &mut impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    let length = source.take(LONGEST + 1).read_to_string(&mut text)?;
    if length as u64 > LONGEST {
        return Err(anyhow!("it is longer than {LONGEST} bytes"));
    }
    Ok(text)
}

/// The members of the document that a person edits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    event_type: String,
    headers: Box<RawValue>,
    payload: Box<RawValue>,
}

/// Returns the document that a person edits: the event type, the headers and the payload, each of
/// the latter as indented JSON.
pub(super) fn document([event_type, headers, payload]: &[String; 3]) -> String {
    let event_type = serde_json::Value::from(event_type.as_str());
    let (headers, payload) = (indented(headers), indented(payload));
    format!(
        "{{\n    \"event_type\": {event_type},\n    \"headers\": {headers},\n    \"payload\": {payload}\n}}\n"
    )
}

/// No string of JSON holds a line break, so that the value stays the same.
fn indented(json: &str) -> String {
    json.replace('\n', "\n    ")
}

/// Returns what differs between an edited document and the contents that were shown.
pub(super) fn parse(
    text: &str,
    [event_type, headers, payload]: &[String; 3],
) -> Result<Edit, Invalid> {
    json::validate(text).map_err(|wrong| Invalid(format!("the text is no JSON: {wrong}")))?;
    let edited: Document = serde_json::from_str(text)
        .map_err(|wrong| Invalid(format!("the text is no event: {wrong}")))?;
    let json = |edited: &RawValue, shown: &str| {
        (edited.get() != indented(shown)).then(|| edited.get().to_owned())
    };
    Ok(Edit {
        headers: json(&edited.headers, headers),
        payload: json(&edited.payload, payload),
        event_type: (edited.event_type != *event_type).then_some(edited.event_type),
        at: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> [String; 3] {
        let payload = "{\n    \"lines\": \"a\\nb\",\n    \"price\": 1.10\n}";
        ["order.created", "{\n}", payload].map(ToOwned::to_owned)
    }

    #[test]
    fn a_document_that_was_not_edited_changes_nothing() {
        assert_eq!(parse(&document(&shown()), &shown()).expect("valid"), Edit::default());
    }

    #[test]
    fn only_what_was_edited_changes_and_keeps_its_digits() {
        let edited = document(&shown()).replace("1.10", "1.200000000000000000001");
        let edit = parse(&edited, &shown()).expect("valid");
        assert_eq!((&edit.event_type, &edit.headers), (&None, &None));
        assert!(edit.payload.expect("edited").contains("1.200000000000000000001"));
        let edited = document(&shown()).replace("order.created", "order.\u{e4}ndert");
        let edit = parse(&edited, &shown()).expect("valid");
        assert_eq!(edit.event_type.as_deref(), Some("order.\u{e4}ndert"));
        assert_eq!((edit.headers, edit.payload), (None, None));
    }

    #[test]
    fn the_place_of_a_mistake_is_told() {
        for (text, expected) in [
            (
                "{\n  \"headers\": {},}\n",
                "the text is no JSON: key must be a string at line 2 column 17",
            ),
            ("{\"headers\": {}, \"payload\": 1}", "missing field `event_type`"),
            ("{\"event_type\": 1, \"headers\": {}, \"payload\": 1}", "invalid type: integer `1`"),
            (
                "{\"event_type\": \"a\", \"headers\": {}, \"payload\": 1, \"id\": 7}",
                "unknown field `id`",
            ),
        ] {
            let Invalid(reason) = parse(text, &shown()).expect_err(text);
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
