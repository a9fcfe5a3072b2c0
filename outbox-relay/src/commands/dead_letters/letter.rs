//! A dead letter as `list` and the dry runs print it.

use serde::{Deserialize, Serialize};

use crate::commands::output::duration_format::age;
use crate::commands::output::escape;
use crate::commands::output::table::{Align, TextTable};

/// The maximum length of a reason in a table, in characters; `show` prints all of it.
const REASON_LIMIT: usize = 160;

/// A dead letter without its contents.
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
    is_edited: bool,
    note: Option<String>,
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
