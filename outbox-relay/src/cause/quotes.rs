//! Quoted parts of a reason. A name is part of the cause (that of a constraint, a table, a field),
//! and so is what another program said. A value is not. The words around it tell which it is.

use super::scanner::{Scanner, VALUE};
use super::segments::is_among;

/// A quoted part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quoted {
    /// With its quotes.
    pub(super) length: usize,
    pub(super) content: Content,
}

/// Which kind of text stands in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Name,
    /// A reason that another program gave.
    Sentence,
    Value,
}

/// The words before quotes that hold a name (`constraint "x"`), as PostgreSQL, RabbitMQ and
/// programming languages write them.
const BEFORE_NAME: &str = "\
    arg argument arguments attribute because class collation column command constraint database \
    encoding exchange extension field fields function header index interface invoke key keyerror \
    language member method module name named operator option package parameter policy prefix \
    procedure properties property queue reading reason relation role schema sequence service \
    setting stream table task template topic trigger type variable vhost view";

/// The words after quotes that hold a name (`'price' is required`).
const AFTER_NAME: [&str; 8] = [
    " codec ",
    " is required",
    " is a required",
    " is not allowed",
    " must ",
    " object ",
    " was unexpected",
    " is null",
];

/// The words before quotes that hold what another program said. Such a sentence is also the first
/// text of an exception: `NotFound(404, 'no such queue')`.
const BEFORE_SENTENCE: &str = "detail error message reason text";

/// The longest name.
const LONGEST_NAME: usize = 128;

/// What is known of the quotes before.
#[derive(Debug, Default)]
pub(super) struct Quotes {
    was_name: bool,
    /// Quotes that do not close any more, so that no other look for one reads to the end.
    unclosed: Vec<char>,
}

impl Quotes {
    /// The quoted part that begins here, if one does.
    pub(super) fn find(&mut self, scanner: &Scanner<'_>) -> Option<Quoted> {
        let rest = scanner.rest();
        let close = closing(rest[0])?;
        let is_opening = scanner.previous().is_none_or(|previous| !is_word(previous));
        if !is_opening || self.unclosed.contains(&close) {
            return None;
        }
        let Some(length) = length(rest, close) else {
            self.unclosed.push(close);
            // It was cut.
            let cut = Quoted { length: rest.len(), content: Content::Value };
            return (rest[0] == '"').then_some(cut);
        };
        let (so_far, quoted, after) = (scanner.so_far(), &rest[1..length - 1], &rest[length..]);
        let is_name = could_be_name(quoted)
            && (self.is_named(so_far) || AFTER_NAME.iter().any(|words| begins_with(after, words)));
        self.was_name = is_name;
        Some(if is_name {
            Quoted { length, content: Content::Name }
        } else if could_be_sentence(quoted) && is_said(so_far) {
            Quoted { length, content: Content::Sentence }
        } else {
            // With the dots of one that was cut.
            let length = length + if begins_with(after, "...") { 3 } else { 0 };
            Quoted { length, content: Content::Value }
        })
    }

    /// Whether the text before a quoted part says that it is a name.
    fn is_named(&self, so_far: &str) -> bool {
        let text = so_far.trim_end();
        if text.ends_with(',') {
            return self.was_name;
        }
        match last_word(text).as_str() {
            "and" | "or" => self.was_name,
            word => is_among(BEFORE_NAME, word),
        }
    }
}

/// Whether the text before a quoted part says that somebody said it.
fn is_said(so_far: &str) -> bool {
    let text = so_far.strip_suffix("…, ").unwrap_or(so_far);
    let call = text.strip_suffix('(').is_some_and(|text| text.ends_with(char::is_alphanumeric));
    call || is_among(BEFORE_SENTENCE, &last_word(so_far.trim_end()))
}

/// The word at the end of `text`, in lower case.
fn last_word(text: &str) -> String {
    let text = text.trim_end_matches([':', '=', '(', '[']);
    let before = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    text[before.len()..].to_ascii_lowercase()
}

/// The quote that closes what `open` opens.
const fn closing(open: char) -> Option<char> {
    match open {
        '"' | '\'' | '`' => Some(open),
        '“' => Some('”'),
        '‘' => Some('’'),
        '«' => Some('»'),
        _ => None,
    }
}

/// The length of what is quoted, with its quotes.
fn length(rest: &[char], close: char) -> Option<usize> {
    let mut is_escaped = false;
    for (index, &c) in rest.iter().enumerate().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if c == '\\' {
            is_escaped = true;
        } else if c == close {
            // An apostrophe is none: `'it's'`.
            let is_apostrophe =
                matches!(c, '\'' | '’') && rest.get(index + 1).is_some_and(|&next| is_word(next));
            if !is_apostrophe {
                return Some(index + 1);
            }
        }
    }
    None
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == VALUE
}

/// Whether `content` has the form of an identifier, a path of identifiers, or a call.
fn could_be_name(content: &[char]) -> bool {
    (1..=LONGEST_NAME).contains(&content.len())
        && content.iter().all(|&c| is_word(c) || "_.-:/$@#*<>()[]".contains(c))
}

/// Whether `content` has three words or more.
fn could_be_sentence(content: &[char]) -> bool {
    content.split(|c| c.is_whitespace()).filter(|word| !word.is_empty()).count() > 2
}

fn begins_with(rest: &[char], words: &str) -> bool {
    words.chars().eq(rest.iter().copied().take(words.chars().count()))
}
