//! Output: lines, progress and colours. Colours only on a terminal and unless switched off
//! (<https://no-color.org>).

use std::io::{IsTerminal, Write};

/// Prints a line to standard output. Ignores a closed pipe, as in `… | head`.
pub(crate) fn line(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}

/// Prints a line of progress. On a terminal it takes the place of cargo's progress bar, which cargo
/// then draws below.
pub(crate) fn progress(text: &str) {
    let clear = if std::io::stdout().is_terminal() { "\r\x1b[K" } else { "" };
    line(&format!("{clear}{} {text}", paint("1;34", "·")));
}

/// Prints a line of progress to standard error.
pub(crate) fn print_note(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// Prints an error to standard error.
pub(crate) fn print_error(text: &str) {
    writeln!(std::io::stderr(), "{} {text}", red("error:")).ok();
}

pub(crate) fn red(text: &str) -> String {
    paint("1;31", text)
}

pub(crate) fn green(text: &str) -> String {
    paint("32", text)
}

pub(crate) fn bold(text: &str) -> String {
    paint("1", text)
}

/// Text in the colour of the n-th item.
pub(crate) fn nth_colour(n: usize, text: &str) -> String {
    paint(["36", "35", "33", "32"][n % 4], text)
}

fn paint(code: &str, text: &str) -> String {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if no_color || !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    format!("\x1b[{code}m{text}\x1b[0m")
}
