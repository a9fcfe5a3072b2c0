//! Standard output: one line of JSON per result, or a table.
#![allow(clippy::print_stdout, reason = "results are what the program prints")]

use serde_json::Value;

/// Prints a result.
pub(crate) fn print_json(result: &Value) {
    println!("{result}");
}

/// Prints text for people.
pub(crate) fn print_text(text: &str) {
    println!("{text}");
}
