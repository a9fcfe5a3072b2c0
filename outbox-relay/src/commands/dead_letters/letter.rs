//! A dead letter as `list` and the dry runs print it.

use serde::{Deserialize, Deserializer, Serialize};

use crate::commands::output::duration_format::age;
use crate::commands::output::escape;
use crate::commands::output::table::{Align, TextTable};

/// The maximum length of a reason in a table, in characters; `show` prints all of it.
const REASON_LIMIT: usize = 160;

/// A dead letter, of whose contents there is the beginning.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) id: i64,
    queue: String,
    return_to: Option<String>,
    message_id: Option<String>,
    event_type: String,
    state: String,
    error_kind: String,
    fingerprint: String,
    reason: Option<String>,
    tries: Option<i64>,
    /// How often it had been returned when it died.
    returns: i64,
    earlier_id: Option<i64>,
    first_failed_at: Option<String>,
    last_failed_at: Option<String>,
    collected_at: String,
    age_seconds: Option<f64>,
    settled_at: Option<String>,
    bytes: i64,
    /// The beginning of a body that is text and not long.
    #[serde(deserialize_with = "text_of_hex")]
    body_start: Option<String>,
    is_edited: bool,
    note: Option<String>,
}

/// Reads bytes in hexadecimal digits as text, up to a character that is cut at their end; `None` if
/// they are none.
fn text_of_hex<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    let digits: Option<String> = Option::deserialize(value)?;
    let bytes: Option<Vec<u8>> = digits.and_then(|digits| {
        let pairs = digits.as_bytes().chunks(2).map(|pair| {
            std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
        });
        pairs.collect()
    });
    Ok(bytes.and_then(|mut bytes| {
        if let Err(error) = std::str::from_utf8(&bytes)
            && error.error_len().is_none()
        {
            bytes.truncate(error.valid_up_to());
        }
        String::from_utf8(bytes).ok()
    }))
}

/// Lays out dead letters as a table.
pub(super) fn table(letters: &[Letter]) -> String {
    let mut table = TextTable::new([
        ("ID", Align::Right),
        ("QUEUE", Align::Left),
        ("TYPE", Align::Left),
        ("STATE", Align::Left),
        ("AGE", Align::Right),
        ("TRIES", Align::Right),
        ("RETURNS", Align::Right),
        ("KIND", Align::Left),
        ("REASON", Align::Left),
    ]);
    for letter in letters {
        let tries = letter.tries.map(|tries| tries.to_string());
        table.add_row([
            &letter.id.to_string(),
            &letter.queue,
            &letter.event_type,
            &letter.state,
            &age(letter.age_seconds),
            tries.as_deref().unwrap_or("?"),
            &letter.returns.to_string(),
            &letter.error_kind,
            &escape::truncated(letter.reason.as_deref().unwrap_or_default(), REASON_LIMIT),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::text_of_hex;

    #[test]
    fn the_beginning_of_a_body_is_text_or_nothing() {
        let read = |json: &str| text_of_hex(&mut serde_json::Deserializer::from_str(json)).ok();
        assert_eq!(read("null"), Some(None));
        assert_eq!(read(r#""""#), Some(Some(String::new())));
        assert_eq!(read(r#""7b2261""#), Some(Some("{\"a".to_owned())));
        assert_eq!(
            read(r#""61c3""#),
            Some(Some("a".to_owned())),
            "cut in the middle of a character"
        );
        assert_eq!(read(r#""61ff62""#), Some(None), "no text");
    }
}
