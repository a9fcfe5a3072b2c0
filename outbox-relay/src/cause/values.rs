//! Parts of a text that are values by their form: UUIDs, times, addresses, JSON; and what follows
//! a name of which only values follow.

use super::scanner::{Scanner, VALUE, run};
use super::segments;

/// The groups of digits of a UUID (<https://www.rfc-editor.org/rfc/rfc9562>).
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

/// The longest IPv6 address with a port, and the longest local part of an e-mail address.
const LONGEST_ADDRESS: usize = 64;

/// What follows one of these is made up: names that RabbitMQ gives, temporary files.
const MADE_UP_AFTER: [&str; 4] = ["amq.gen-", "amq.ctag-", "/tmp/", "\\Temp\\"];

/// What follows one of these is a value, unless the name is the end of a longer word.
const VALUE_AFTER: [&str; 4] = ["id=", "Id=", "ID=", "value="];

/// The length of the value that begins here, if one does.
pub(super) fn length(scanner: &Scanner<'_>) -> Option<usize> {
    let (rest, so_far) = (scanner.rest(), scanner.so_far());
    if rest[0] == '{' {
        return json(rest);
    }
    // PostgreSQL's details: `Key (id)=(42) already exists`, `Failing row contains (42, null)`.
    if so_far.ends_with("=(") || so_far.ends_with("row contains (") {
        return Some(to_closing(rest)).filter(|length| *length > 0);
    }
    if !scanner.follows_boundary() {
        return None;
    }
    uuid(rest)
        .or_else(|| with_colons(rest, scanner.previous()))
        .or_else(|| address(rest, scanner.previous()))
        .or_else(|| query(rest, so_far))
        .or_else(|| by_context(rest, so_far))
}

/// An object of JSON or of a language's literals: `{"id": 7}`, `{'id': 7}`, `{ id: 7 }`. To the end
/// if it was cut.
fn json(rest: &[char]) -> Option<usize> {
    let inner = &rest[1..];
    let inner = &inner[run(inner, char::is_whitespace)..];
    let after = &inner[run(inner, is_name)..];
    let after = &after[run(after, char::is_whitespace)..];
    let is_object = matches!(inner.first(), Some('"' | '\'' | '}')) || after.first() == Some(&':');
    is_object.then(|| (1 + to_closing(&rest[1..]) + 1).min(rest.len()))
}

/// How many characters come before the bracket that closes an open one: all if none does.
fn to_closing(inner: &[char]) -> usize {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for (index, c) in inner.iter().enumerate() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if in_string => is_escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => (),
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' if depth == 0 => return index,
            ')' | '}' | ']' => depth -= 1,
            _ => (),
        }
    }
    inner.len()
}

fn uuid(rest: &[char]) -> Option<usize> {
    let mut length = 0;
    for (index, digits) in UUID.into_iter().enumerate() {
        let group = rest.get(length..length + digits)?;
        length += digits;
        let is_last = index + 1 == UUID.len();
        let end = rest.get(length);
        if !group.iter().all(char::is_ascii_hexdigit) || !(is_last || end == Some(&'-')) {
            return None;
        }
        length += usize::from(!is_last);
    }
    rest.get(length).is_none_or(|c| !c.is_alphanumeric()).then_some(length)
}

/// A time of day, an IPv6 address or a hardware address.
fn with_colons(rest: &[char], previous: Option<char>) -> Option<usize> {
    let text = &rest[..rest.len().min(LONGEST_ADDRESS)];
    let mut length = run(text, |c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'));
    if previous == Some(':') || rest.get(length).is_some_and(|c| c.is_alphanumeric()) {
        return None;
    }
    while length > 0 && matches!(rest[length - 1], ':' | '.') {
        length -= 1;
    }
    let text = &text[..length];
    let colons = text.iter().filter(|&&c| c == ':').count();
    (colons >= 2 && text.iter().any(char::is_ascii_digit)).then_some(length)
}

/// An e-mail address, the node of an Erlang program, or a user and a host: `a.b@shop.example`. Not
/// a version or the identity of a Java object, `Order@1b6d3586`, whose first part stays.
fn address(rest: &[char], previous: Option<char>) -> Option<usize> {
    let is_local = |c: char| is_name(c) || matches!(c, '.' | '+' | '%');
    if previous.is_some_and(is_local) {
        return None;
    }
    let local = run(&rest[..rest.len().min(LONGEST_ADDRESS)], is_local);
    let domain = rest.get(local..)?.strip_prefix(&['@'])?;
    let first: String = domain[..run(domain, char::is_alphanumeric)].iter().collect();
    let is_host = local > 0 && !first.is_empty() && !segments::is_value(&first);
    let mut length = run(domain, |c| is_name(c) || c == '.');
    while length > 0 && !domain[length - 1].is_alphanumeric() {
        length -= 1;
    }
    is_host.then_some(local + 1 + length)
}

/// The query of a URL, behind its `?`.
fn query(rest: &[char], so_far: &str) -> Option<usize> {
    let path = so_far.strip_suffix('?')?;
    let name = run(&rest[..rest.len().min(LONGEST_ADDRESS)], is_name);
    let is_query = path.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | VALUE))
        && rest.get(name) == Some(&'=');
    let is_part = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '`' | ')' | '>' | ',');
    is_query.then(|| run(rest, is_part))
}

/// What follows a name of which only values follow.
fn by_context(rest: &[char], so_far: &str) -> Option<usize> {
    if so_far.ends_with("Unexpected token ") {
        // Of Node.js before version 20, which does not quote it.
        let is_alone = rest.get(1).is_none_or(|c| c.is_whitespace());
        return (is_alone && !rest[0].is_whitespace()).then_some(1);
    }
    let is_value = MADE_UP_AFTER.iter().any(|prefix| so_far.ends_with(prefix))
        || VALUE_AFTER.iter().any(|suffix| {
            so_far.strip_suffix(suffix).is_some_and(|before| {
                suffix.starts_with('I') || !before.ends_with(char::is_alphanumeric)
            })
        });
    if is_value { Some(run(rest, is_name)).filter(|length| *length > 0) } else { None }
}

/// Whether `c` can be part of an identifier.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}
