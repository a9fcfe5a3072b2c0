//! What the program is for: a line of JSON for each result.

use serde_json::Value;

/// Prints a result.
#[allow(clippy::print_stdout, reason = "results are what the program prints")]
pub(crate) fn result(result: &Value) {
    println!("{result}");
}
