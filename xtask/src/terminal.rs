//! Output: lines, progress and colours; colours only for people, who may switch them off
//! (<https://no-color.org>).

use std::io::{IsTerminal, Write};

/// One line on standard output. That nobody reads it, as in `… | head`, stops nothing.
pub(crate) fn line(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}

/// One line about what is being done.
pub(crate) fn progress(text: &str) {
    line(&format!("{} {text}", paint("1;34", "·")));
}

/// One line about what is being done, on standard error.
pub(crate) fn print_note(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// One sentence about what went wrong, on standard error.
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

/// Text in the colour that belongs to the n-th of several things.
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
