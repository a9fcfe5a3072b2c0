//! What the program is for: a line of JSON for each result, or a table of them.
#![allow(clippy::print_stdout, reason = "results are what the program prints")]

use serde_json::Value;

/// Prints a result.
pub(crate) fn print_json(result: &Value) {
    println!("{result}");
}

/// Prints results for people.
pub(crate) fn print_text(text: &str) {
    println!("{text}");
}
