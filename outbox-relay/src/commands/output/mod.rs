//! Standard output and standard error.
//!
//! `table` lays out columns, `escape` makes text safe for a terminal, `duration_format` writes ages
//! and delays.

pub(super) mod duration_format;
pub(super) mod escape;
pub(super) mod table;

use std::io::{ErrorKind, Write as _};

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use serde::Serialize;

/// The style of headings.
pub(super) const BOLD: Style = Style::new().bold();
/// The style of a passed check.
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
/// The style of errors and failed checks.
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();

/// The reader of standard output has closed it.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub(super) struct OutputClosed;

/// Writes `text` to standard output, with colours only on a terminal (<https://no-color.org>).
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        other => other.context("the output can't be written"),
    }
}

/// Writes `value` to standard output as one indented JSON document.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    text(&format!("{}\n", escape::json(&serde_json::to_string_pretty(value)?)))
}

/// Writes each of `values` to standard output as JSON on a line of its own.
pub(super) fn json_lines<T: Serialize>(values: &[T]) -> anyhow::Result<()> {
    let mut lines = String::new();
    for value in values {
        lines.push_str(&escape::json(&serde_json::to_string(value)?));
        lines.push('\n');
    }
    text(&lines)
}

/// Returns `1 event` or `2 events`, if `noun` is `event`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Writes an error to standard error.
pub(super) fn error(sentence: &str) {
    note(&format!("{RED}error:{RED:#} {}", escape::lines(sentence)));
}

/// Writes a line that is not part of the result to standard error.
pub(super) fn note(line: &str) {
    // A closed standard error does not change the result.
    writeln!(anstream::stderr(), "{line}").ok();
}

/// Writes `text` to standard error and leaves the cursor behind it.
pub(super) fn prompt(text: &str) {
    let mut stderr = anstream::stderr();
    write!(stderr, "{text}").and_then(|()| stderr.flush()).ok();
}

/// Replaces the current line of the terminal that standard error is.
pub(super) fn overwrite_line(line: &str) {
    prompt(&format!("\r\x1b[K{}", escape::line(line)));
}
