//! An edit of a dead letter's headers and body, given as options or as an edited text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

use amq_protocol::types::{FieldTable, ShortString};
use amqp::ContentHeader;
use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use crate::commands::edit::{Invalid, LONGEST, json};
use crate::publish::headers;

/// The line between the headers and the body in the text that a person edits.
const MARK: &str = "---- body ----";

/// A header's new value, as in `NAME=VALUE`.
pub(super) type NewHeader = (String, String);

/// An edit: the changed parts only.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LetterEdit {
    pub(super) body: Option<Vec<u8>>,
    /// The new values of headers.
    pub(super) set: Map<String, Value>,
    /// The names of headers that are removed.
    pub(super) removed: BTreeSet<String>,
}

/// A `value_parser` for `NAME=VALUE`.
pub(super) fn new_header(text: &str) -> Result<NewHeader, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it must be NAME=VALUE".to_owned()),
    }
}

impl LetterEdit {
    /// Returns the edit that the command's options describe.
    pub(super) fn read(
        body: Option<&Path>,
        set: &[NewHeader],
        removed: &[String],
    ) -> anyhow::Result<Self> {
        let set = set.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        Ok(Self {
            body: body.map(read_body).transpose()?,
            set: set.collect(),
            removed: removed.iter().cloned().collect(),
        })
    }

    /// Drops changes that have no effect. Fails if a header to be removed does not exist.
    pub(super) fn without_unchanged(
        mut self,
        body: &[u8],
        headers: &Map<String, Value>,
    ) -> anyhow::Result<Self> {
        self.body.take_if(|new| new == body);
        self.set.retain(|name, value| headers.get(name) != Some(value));
        if let Some(missing) = self.removed.iter().find(|name| !headers.contains_key(*name)) {
            let names: Vec<&str> = headers.keys().map(String::as_str).collect();
            bail!("it has no header {missing}, but {}", names.join(", "));
        }
        Ok(self)
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the names of the changed parts, for the audit table and the report.
    pub(super) fn changed(&self) -> Vec<String> {
        let body = self.body.iter().map(|_| "body".to_owned());
        let names: BTreeMap<&String, ()> =
            self.set.keys().chain(&self.removed).map(|name| (name, ())).collect();
        body.chain(names.into_keys().map(|name| format!("header {name}"))).collect()
    }

    /// Returns the content header of the edited message, whose body has `body_size` bytes.
    /// Properties and headers that were not edited keep their encoding.
    pub(super) fn content_header(
        &self,
        before: &[u8],
        body_size: usize,
    ) -> Result<Vec<u8>, Invalid> {
        if self.set.is_empty() && self.removed.is_empty() {
            return Ok(before.to_vec());
        }
        let mut header = ContentHeader::read(before).ok_or_else(|| {
            Invalid("its headers can't be read, so that none can be changed".to_owned())
        })?;
        let mut added = FieldTable::default();
        for (name, value) in &self.set {
            let short = ShortString::try_new(name.as_str()).map_err(|_| {
                Invalid(format!(
                    "the name of a header is {} bytes long, AMQP allows 255",
                    name.len()
                ))
            })?;
            let value = headers::value(value.clone()).map_err(|what| {
                Invalid(format!(
                    "the header {name} is {what}, but must be a string, a number, a boolean or null"
                ))
            })?;
            added.insert(short, value);
        }
        header.retain_headers(|name| {
            let name = String::from_utf8_lossy(name);
            !self.set.contains_key(&*name) && !self.removed.contains(&*name)
        });
        if !self.set.is_empty() {
            header.add_headers(added);
        }
        Ok(header.encode(body_size))
    }
}

fn read_body(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    let (path, read) = if path == Path::new("-") {
        ("standard input".to_owned(), stdin().take(LONGEST + 1).read_to_end(&mut body))
    } else {
        let file = File::open(path);
        let read = file.and_then(|file| file.take(LONGEST + 1).read_to_end(&mut body));
        (path.display().to_string(), read)
    };
    let length = read.with_context(|| format!("the body can't be read from {path}"))?;
    if length as u64 > LONGEST {
        bail!("the body in {path} is longer than {LONGEST} bytes");
    }
    Ok(body)
}

/// The contents that the editor is opened with.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// Indented JSON.
    pub(super) headers: String,
    pub(super) body: String,
}

impl Shown {
    /// Returns the text that a person edits: the headers as JSON, a mark, and the body as it is.
    pub(super) fn text(&self) -> String {
        format!("{}\n{MARK}\n{}", self.headers, self.body)
    }

    /// Compares an edited text with the original contents. Returns the differences.
    pub(super) fn parse(&self, text: &str) -> Result<LetterEdit, Invalid> {
        let mark = format!("\n{MARK}\n");
        let (head, body) = text.split_once(&mark).ok_or_else(|| {
            Invalid(format!("the line \"{MARK}\", which precedes the body, is missing"))
        })?;
        json::validate(head)
            .map_err(|wrong| Invalid(format!("the headers are no JSON: {wrong}")))?;
        let (edited, before) = (object(head)?, object(&self.headers)?);
        // Editors add a line break at the end: remove it if the body had none.
        let body = match body.strip_suffix('\n') {
            Some(body) if !self.body.ends_with('\n') => body,
            _ => body,
        };
        let is_json = |text: &str| json::validate(text);
        if body != self.body
            && is_json(&self.body).is_ok()
            && let Err(wrong) = is_json(body)
        {
            return Err(Invalid(format!("the body is no JSON any more: {wrong}")));
        }
        let removed = before.keys().filter(|name| !edited.contains_key(*name)).cloned().collect();
        let changed = edited.into_iter().filter(|(name, value)| before.get(name) != Some(value));
        Ok(LetterEdit {
            body: (body != self.body).then(|| body.as_bytes().to_vec()),
            set: changed.collect(),
            removed,
        })
    }
}

/// Parses headers as a JSON object.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, Invalid> {
    serde_json::from_str(text)
        .map_err(|wrong| Invalid(format!("the headers are no object: {wrong}")))
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::basic::AMQPProperties;
    use amq_protocol::types::AMQPValue;
    use amqp::content_header;
    use serde_json::json;

    use super::*;

    fn shown() -> Shown {
        let headers = "{\n    \"a\": 1,\n    \"b\": \"x\"\n}".to_owned();
        Shown { headers, body: "{\"price\": 1.10}".to_owned() }
    }

    #[test]
    fn a_text_that_was_not_edited_changes_nothing() {
        for end in ["", "\n"] {
            let text = format!("{}{end}", shown().text());
            assert_eq!(shown().parse(&text).expect("valid"), LetterEdit::default());
        }
        let own_end = Shown { body: "line\n".to_owned(), ..shown() };
        assert_eq!(own_end.parse(&own_end.text()).expect("valid"), LetterEdit::default());
    }

    #[test]
    fn only_what_was_edited_changes() {
        let edited = shown().text().replace("1.10", "1.200000000000000000001");
        let edit = shown().parse(&edited).expect("valid");
        assert_eq!(edit.body.as_deref(), Some(&b"{\"price\": 1.200000000000000000001}"[..]));
        assert_eq!(edit.changed(), ["body"]);
        let edited = shown().text().replace("\"a\": 1,", "\"c\": true,").replace("\"x\"", "\"y\"");
        let edit = shown().parse(&edited).expect("valid");
        assert_eq!(edit.changed(), ["header a", "header b", "header c"]);
        assert_eq!(Value::Object(edit.set), json!({ "b": "y", "c": true }));
    }

    #[test]
    fn a_mistake_is_told() {
        for (text, expected) in [
            ("{}".to_owned(), "is missing"),
            (shown().text().replace("1,", ","), "the headers are no JSON"),
            (shown().text().replace("1.10", ""), "the body is no JSON any more"),
            (format!("[]\n{MARK}\n{{}}"), "the headers are no object"),
        ] {
            let Invalid(reason) = shown().parse(&text).expect_err(&text);
            assert!(reason.contains(expected), "{reason}");
        }
        for wrong in ["", "=x", "name"] {
            assert!(new_header(wrong).is_err(), "{wrong}");
        }
        assert_eq!(new_header("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
    }

    #[test]
    fn headers_that_are_not_edited_keep_their_types() {
        let mut table = FieldTable::default();
        table.insert("short".into(), AMQPValue::ShortInt(7));
        table.insert("gone".into(), AMQPValue::Void);
        let before = content_header(4, &AMQPProperties::default().with_headers(table));
        let set = [("new".to_owned(), "x".to_owned())];
        let edit = LetterEdit::read(None, &set, &["gone".to_owned()]).expect("an edit");
        let after = edit.content_header(&before, 4).expect("a header");
        let mut expected = FieldTable::default();
        expected.insert("short".into(), AMQPValue::ShortInt(7));
        expected.insert("new".into(), AMQPValue::LongString("x".into()));
        let mut read = ContentHeader::read(&after).expect("a header");
        assert_eq!(read.header_names().collect::<Vec<_>>(), [&b"short"[..], b"new"]);
        read.retain_headers(|name| name == b"short");
        let mut short = FieldTable::default();
        short.insert("short".into(), AMQPValue::ShortInt(7));
        assert_eq!(
            read.encode(4),
            content_header(4, &AMQPProperties::default().with_headers(short))
        );
        let headers = json!({ "short": 7, "gone": null });
        let headers = headers.as_object().expect("an object");
        let missing = LetterEdit::read(None, &[], &["none".to_owned()]).expect("an edit");
        assert!(missing.without_unchanged(b"", headers).is_err());
    }
}
