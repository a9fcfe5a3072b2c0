//! What is wrong with a text that should be JSON, and where.

use serde::de::IgnoredAny;

/// Checks that `text` is JSON that PostgreSQL can store. Numbers are not looked at more closely: it
/// takes longer ones than any type here.
///
/// # Errors
/// What is wrong, with its line and column.
pub(crate) fn validate(text: &str) -> Result<(), String> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())?;
    match find_bad_escape(text.as_bytes()) {
        Some((at, what)) => {
            let (line, column) = position(text, at);
            Err(format!("{what} at line {line} column {column}"))
        }
        None => Ok(()),
    }
}

/// Returns the first escape sequence that no text of PostgreSQL can hold. Outside of strings JSON
/// has no backslash.
fn find_bad_escape(json: &[u8]) -> Option<(usize, &'static str)> {
    let mut at = 0;
    while let Some(offset) = json.get(at..)?.iter().position(|&byte| byte == b'\\') {
        at += offset;
        at += match code_unit(json, at) {
            None => 2,
            Some(0) => return Some((at, r"PostgreSQL can't store \u0000")),
            Some(0xD800..=0xDBFF) => match code_unit(json, at + 6) {
                Some(0xDC00..=0xDFFF) => 12,
                _ => return Some((at, "half of a surrogate pair")),
            },
            Some(0xDC00..=0xDFFF) => return Some((at, "half of a surrogate pair")),
            Some(_) => 6,
        };
    }
    None
}

/// Returns the number of the `\uXXXX` that begins at `at`.
fn code_unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(br"\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Returns the line and the column of a byte, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let begin = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[begin..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgresql_takes_is_valid() {
        for text in [
            "{}",
            " null ",
            "1e400",
            "0.10000000000000000000000000000000000000000000001",
            r#""\ud83d\ude00 \u00e4 \\u0000 \n""#,
        ] {
            assert_eq!(validate(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        for (text, expected) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{\"a\": 1,\n \"b\" 2}", "expected `:` at line 2 column 6"),
            ("{} {}", "trailing characters at line 1 column 4"),
            ("{\"a\":\n \"x\\u0000\"}", r"PostgreSQL can't store \u0000 at line 2 column 4"),
            (r#""ä\ud83d""#, "half of a surrogate pair at line 1 column 3"),
            (r#""\ude00\ud83d""#, "half of a surrogate pair at line 1 column 2"),
            (r#""\ud83d\n""#, "half of a surrogate pair at line 1 column 2"),
        ] {
            assert_eq!(validate(text), Err(expected.to_owned()), "{text}");
        }
    }
}
