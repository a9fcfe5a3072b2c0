//! Standard output and standard error.

use std::io::{ErrorKind, Write as _};

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use serde::Serialize;

use super::plain;

/// For headings.
pub(super) const BOLD: Style = Style::new().bold();
/// For what is well.
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
/// For what is not.
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();

/// Nobody reads the output any more.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub(super) struct Hangup;

/// Writes `text` to standard output, its colours only to a terminal (<https://no-color.org>).
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Hangup.into()),
        other => other.context("the output can't be written"),
    }
}

/// Writes `value` as one JSON document, laid out.
pub(super) fn document(value: &impl Serialize) -> anyhow::Result<()> {
    text(&format!("{}\n", plain::json(&serde_json::to_string_pretty(value)?)))
}

/// Writes each of `values` as JSON on a line of its own.
pub(super) fn json_lines<T: Serialize>(values: &[T]) -> anyhow::Result<()> {
    let mut lines = String::new();
    for value in values {
        lines.push_str(&plain::json(&serde_json::to_string(value)?));
        lines.push('\n');
    }
    text(&lines)
}

/// Writes a sentence about what went wrong to standard error.
pub(super) fn complain(sentence: &str) {
    aside(&format!("{RED}error:{RED:#} {}", plain::lines(sentence)));
}

/// Writes a line that is no result to standard error.
pub(super) fn aside(line: &str) {
    // That nobody reads it changes nothing.
    writeln!(anstream::stderr(), "{line}").ok();
}

/// Writes a question to standard error, and leaves the cursor behind it.
pub(super) fn question(text: &str) {
    let mut stderr = anstream::stderr();
    write!(stderr, "{text}").and_then(|()| stderr.flush()).ok();
}

/// Writes over the line of the terminal that standard error is.
pub(super) fn over_line(line: &str) {
    question(&format!("\r\x1b[K{}", plain::line(line)));
}
