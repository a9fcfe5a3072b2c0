//! Numbers, ids and hex among words.

use super::scanner::{Place, VALUE};

/// What a run of letters and digits is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    /// Part of what is said.
    Word,
    /// A word with a number behind it.
    Numbered(&'a str),
    Value,
}

/// Shorter runs of hexadecimal digits are words and numbers as well.
const SHORTEST_HEX: usize = 6;

/// The longest word of the letters a to f alone has 7.
const SHORTEST_HEX_OF_LETTERS: usize = 8;

/// Digits behind a word that is part of a name: more are a date or an id.
const DIGITS_OF_NAME: usize = 2;

/// What a number is called that is itself the cause: 404 is another one than 503.
const CODES: &str = "status statuscode errorcode exitcode replycode responsecode errno http";

/// What makes `code` such a name; the code of a country or of a currency is a value.
const KINDS_OF_CODE: &str = "status error exit reply response return http with";

/// The most digits of such a number.
const DIGITS_OF_CODE: usize = 3;

/// Longer words are none of these.
const LONGEST_WORD: usize = 24;

/// The length of an SQLSTATE.
const SQLSTATE: usize = 5;

const MONTHS: &str = "\
    Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec January February March April June July \
    August September October November December";

const WEEKDAYS: &str = "\
    Mon Tue Wed Thu Fri Sat Sun Monday Tuesday Wednesday Thursday Friday Saturday Sunday";

const TIME_ZONES: &str = "UTC GMT CET CEST EST EDT PST PDT AM PM";

/// The letters and digits of which Kubernetes makes the names of pods.
const POD: &str = "bcdfghjklmnpqrstvwxz2456789";

/// Classifies `segment`, which stands between `so_far` and `rest`.
pub(super) fn classify<'a>(
    segment: &'a str,
    so_far: &str,
    rest: &[char],
    place: Place,
) -> Segment<'a> {
    if place != Place::Name && is_code(segment, so_far) {
        return Segment::Word;
    }
    if is_value(segment) || is_part_of_time(segment, so_far, rest) || is_of_pod(segment, so_far) {
        return Segment::Value;
    }
    let word = segment.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = segment.len() - word.len();
    let digits_that_stay = if place == Place::Name { DIGITS_OF_NAME } else { 0 };
    if digits > digits_that_stay { Segment::Numbered(word) } else { Segment::Word }
}

/// Whether `segment` is a number, with or without a unit, hexadecimal, or made up.
pub(super) fn is_value(segment: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    let digits = segment.chars().filter(|&c| is_digit(c)).count();
    let is_hex = segment.chars().all(|c| c.is_ascii_hexdigit());
    let shortest = if digits == 0 { SHORTEST_HEX_OF_LETTERS } else { SHORTEST_HEX };
    if segment.starts_with(is_digit) || (is_hex && segment.len() >= shortest) {
        return true;
    }
    let word = segment.trim_end_matches(is_digit);
    let inside = word.chars().filter(|&c| is_digit(c)).count();
    // Of words such as `k8s` and `log4j` there is one run of digits.
    let is_one_run = word.trim_matches(|c: char| !is_digit(c)).chars().all(is_digit);
    inside > DIGITS_OF_NAME || !is_one_run || (inside > 0 && word.len() < segment.len())
}

/// Whether the text calls the number the code of an error.
fn is_code(segment: &str, so_far: &str) -> bool {
    let before = so_far.trim_end_matches([' ', ':', '=', '(', '[', '#']);
    let (before, word) = last_word(before);
    let is_number = segment.bytes().all(|byte| byte.is_ascii_digit());
    match word.as_str() {
        "sqlstate" => segment.len() == SQLSTATE,
        _ if !is_number || segment.len() > DIGITS_OF_CODE => false,
        "code" => is_among(KINDS_OF_CODE, &last_word(before.trim_end()).1),
        word => is_among(CODES, word),
    }
}

/// The last word, in lower case and without hyphens, and what comes before it.
fn last_word(text: &str) -> (&str, String) {
    let is_part = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
    let length = text.bytes().rev().take(LONGEST_WORD).take_while(is_part).count();
    let (before, word) = text.split_at(text.len() - length);
    let letters = word.chars().filter(char::is_ascii_alphabetic);
    (before, letters.map(|letter| letter.to_ascii_lowercase()).collect())
}

/// Whether the word is part of a date or a time, as there are numbers beside it.
fn is_part_of_time(segment: &str, so_far: &str, rest: &[char]) -> bool {
    let is_number = |c: Option<&char>| c.is_some_and(|&c| c.is_ascii_digit() || c == VALUE);
    let is_behind_number = so_far.strip_suffix([' ', '-', '/']).unwrap_or(so_far).ends_with(VALUE);
    if is_among(TIME_ZONES, segment) {
        return is_behind_number;
    }
    if is_among(MONTHS, segment) {
        return is_behind_number
            || (matches!(rest.first(), Some(' ' | '-' | '/')) && is_number(rest.get(1)));
    }
    let rest = rest.strip_prefix(&[',']).unwrap_or(rest);
    let month: String = rest.iter().skip(1).take(3).collect();
    is_among(WEEKDAYS, segment)
        && rest.first() == Some(&' ')
        && (is_number(rest.get(1)) || is_among(MONTHS, &month))
}

/// Whether it is the end of the name of a pod: `orders-7d9f8b6c5d-xkvbn`.
fn is_of_pod(segment: &str, so_far: &str) -> bool {
    segment.len() == 5
        && segment.chars().all(|c| POD.contains(c))
        && so_far.strip_suffix('-').is_some_and(|before| before.ends_with(VALUE))
}

/// Whether `word` is one of `words`.
pub(super) fn is_among(words: &str, word: &str) -> bool {
    words.split(' ').any(|other| other == word)
}
