//! Untrusted text, escaped for a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns true for characters that control a terminal or reorder the text that follows.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes one line of text: a control character becomes `\u{1b}`.
pub(in crate::commands) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |c| if needs_escape(c) { Some(c.escape_unicode().to_string()) } else { None })
}

/// Escapes text of several lines, such as indented JSON.
pub(in crate::commands) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| {
        if needs_escape(c) && c != '\n' { Some(c.escape_unicode().to_string()) } else { None }
    })
}

/// Escapes JSON without changing its meaning: control characters can only occur in its strings, and
/// line breaks only in its layout.
pub(in crate::commands) fn json(text: &str) -> Cow<'_, str> {
    escaped(text, |c| {
        if needs_escape(c) && c != '\n' { Some(format!("\\u{:04x}", u32::from(c))) } else { None }
    })
}

fn escaped(text: &str, escape: impl Fn(char) -> Option<String>) -> Cow<'_, str> {
    if !text.chars().any(needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match escape(c) {
            Some(written) => safe.push_str(&written),
            None => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Returns at most `max` characters of `text`, followed by an ellipsis if some were cut off.
pub(in crate::commands) fn truncated(text: &str, max: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(max) else {
        return text.to_owned();
    };
    let mut short = text[..end].to_owned();
    // Writing to a string does not fail.
    let _infallible = write!(short, "…");
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(line("ünïcode is fine"), "ünïcode is fine");
        assert_eq!(line("a\x1b[2Jb\n\u{9b}c"), r"a\u{1b}[2Jb\u{a}\u{9b}c");
        assert_eq!(line("\u{202e}txt"), r"\u{202e}txt");
        assert_eq!(lines("a\n\x1bb"), "a\n\\u{1b}b");
    }

    #[test]
    fn escaped_json_keeps_its_meaning() {
        let unsafe_value = serde_json::json!({"a": "\u{9b}31m\u{7f}\u{202e}\x1b\n"});
        let text = serde_json::to_string_pretty(&unsafe_value).expect("JSON");
        let safe = json(&text);
        assert!(!safe.chars().any(|c| needs_escape(c) && c != '\n'), "{safe}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).expect("still JSON"),
            unsafe_value
        );
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(truncated("ñandú", 5), "ñandú");
        assert_eq!(truncated("ñandú", 2), "ña…");
    }
}
