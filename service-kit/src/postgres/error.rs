//! The text of the driver's errors.

use tokio_postgres::Error;

/// Returns the text of a driver's error for the log: no SQL values, no password.
#[must_use]
pub fn reason(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    error_chain(error)
}

/// Returns an error and its sources in one line.
pub(super) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
