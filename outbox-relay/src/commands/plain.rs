//! Text that others wrote, made harmless to a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a terminal could take the character for a command, or show what follows it in another order.
fn is_risky(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line of text for people: what is risky is written out, as `\u{1b}`.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    rewritten(text, |c| if is_risky(c) { Some(c.escape_unicode().to_string()) } else { None })
}

/// Text of several lines for people, as JSON that is laid out.
pub(super) fn lines(text: &str) -> Cow<'_, str> {
    rewritten(text, |c| {
        if is_risky(c) && c != '\n' { Some(c.escape_unicode().to_string()) } else { None }
    })
}

/// The same JSON without risky characters. What is risky can only stand in its strings; line breaks are its layout.
pub(super) fn json(text: &str) -> Cow<'_, str> {
    rewritten(text, |c| {
        if is_risky(c) && c != '\n' { Some(format!("\\u{:04x}", u32::from(c))) } else { None }
    })
}

fn rewritten(text: &str, rewrite: impl Fn(char) -> Option<String>) -> Cow<'_, str> {
    if !text.chars().any(is_risky) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match rewrite(c) {
            Some(written) => plain.push_str(&written),
            None => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// At most `most` characters of `text`, with an ellipsis where something is missing.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else {
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
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(line("ünïcode is fine"), "ünïcode is fine");
        assert_eq!(line("a\x1b[2Jb\n\u{9b}c"), r"a\u{1b}[2Jb\u{a}\u{9b}c");
        assert_eq!(line("\u{202e}txt"), r"\u{202e}txt");
        assert_eq!(lines("a\n\x1bb"), "a\n\\u{1b}b");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let risky = serde_json::json!({"a": "\u{9b}31m\u{7f}\u{202e}\x1b\n"});
        let text = serde_json::to_string_pretty(&risky).expect("JSON");
        let safe = json(&text);
        assert!(!safe.chars().any(|c| is_risky(c) && c != '\n'), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).expect("still JSON"), risky);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened("ñandú", 5), "ñandú");
        assert_eq!(shortened("ñandú", 2), "ña…");
    }
}
