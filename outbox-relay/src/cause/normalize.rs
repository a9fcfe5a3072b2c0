//! A reason without what differs from failure to failure.

use super::quotes::{Content, Quoted, Quotes};
use super::scanner::{Place, Scanner, VALUE, run};
use super::segments::{Segment, classify};
use super::values;

/// Returns `reason` with [`VALUE`] in place of each value, and with single spaces. In linear time:
/// a rule takes the characters that it looks at, or looks at a limited number of them.
pub(super) fn normalize(reason: &str) -> String {
    let reason: Vec<char> = reason.chars().collect();
    normalize_in(&reason, Place::Reason)
}

fn normalize_in(text: &[char], place: Place) -> String {
    let mut scanner = Scanner::new(text, place);
    let mut quotes = Quotes::default();
    while let Some(&c) = scanner.rest().first() {
        if c.is_whitespace() || c.is_control() {
            scanner.space();
            scanner.skip(1);
        } else if c == VALUE {
            scanner.value();
            scanner.skip(1);
        } else if let Some(length) = values::length(&scanner) {
            scanner.value();
            scanner.skip(length);
        } else if let Some(quoted) = quotes.find(&scanner) {
            read_quoted(&mut scanner, quoted);
        } else if scanner.follows_boundary() && c.is_alphanumeric() {
            read_segment(&mut scanner);
        } else {
            scanner.keep_char(c);
            scanner.skip(1);
        }
    }
    scanner.finish()
}

fn read_quoted(scanner: &mut Scanner<'_>, Quoted { length, content }: Quoted) {
    let place = match content {
        Content::Name => Some(Place::Name),
        Content::Sentence if scanner.place == Place::Reason => Some(Place::Sentence),
        Content::Sentence | Content::Value => None,
    };
    if let Some(place) = place {
        let quoted = &scanner.rest()[..length];
        scanner.keep_char(quoted[0]);
        scanner.keep(&normalize_in(&quoted[1..length - 1], place));
        scanner.keep_char(quoted[length - 1]);
    } else {
        scanner.value();
    }
    scanner.skip(length);
}

fn read_segment(scanner: &mut Scanner<'_>) {
    let (segment, rest) = scanner.rest().split_at(run(scanner.rest(), char::is_alphanumeric));
    let text: String = segment.iter().collect();
    match classify(&text, scanner.so_far(), rest, scanner.place) {
        Segment::Word => scanner.keep(&text),
        Segment::Numbered(word) => {
            scanner.keep(word);
            scanner.keep_char(VALUE);
        }
        Segment::Value => scanner.value(),
    }
    scanner.skip(segment.len());
}
