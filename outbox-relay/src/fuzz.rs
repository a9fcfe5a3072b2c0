//! What the fuzzer calls: `fuzz/` in the repository.

use crate::cause::Fingerprint;
use crate::commands::paging::Cursor;
pub use crate::dead_letters::fuzz::{Letter, letter, returned};

/// Returns the name and the hash of a cause.
#[must_use]
pub fn fingerprint(reason: &str) -> (String, String) {
    let fingerprint = Fingerprint::of(reason);
    (fingerprint.name().to_owned(), fingerprint.to_string())
}

/// Reads the place in a list at which a page begins, and returns it as it is printed.
///
/// # Errors
/// When the text is no such place, with the reason.
pub fn cursor(text: &str) -> Result<String, String> {
    text.parse::<Cursor>().map(|cursor| cursor.to_string())
}
