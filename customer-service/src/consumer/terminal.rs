//! Runs the commands `check` and `rebuild-queue`, and prints their output.

use std::io::Write as _;
use std::process::ExitCode;

use service_kit::telemetry;

/// Runs a command and returns its exit status. An error is printed on standard error.
pub(super) fn run_command(command: impl Future<Output = Result<ExitCode, String>>) -> ExitCode {
    telemetry::install_tls();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done =
        runtime.map_err(|error| format!("can't start the runtime: {error}")).and_then(|runtime| {
            let done = runtime.block_on(Box::pin(command));
            // A blocked thread (a name look-up, say) must not delay the exit.
            runtime.shutdown_background();
            done
        });
    done.unwrap_or_else(|sentence| {
        print_progress(&format!("error: {sentence}"));
        ExitCode::FAILURE
    })
}

/// Prints a line on standard output.
///
/// # Errors
/// When standard output is closed.
pub(super) fn print_line(line: &str) -> Result<(), String> {
    print_text(&format!("{}\n", escape_control(line)))
}

/// Prints text without control characters on standard output.
///
/// # Errors
/// When standard output is closed.
pub(super) fn print_text(page: &str) -> Result<(), String> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(page.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| format!("the output can't be written: {error}"))
}

/// Prints a JSON document on standard output. Control characters other than line breaks can only
/// stand in its strings, and are escaped there.
///
/// # Errors
/// When standard output is closed.
pub(super) fn print_json(document: &str) -> Result<(), String> {
    let escape = |letter: char| match letter {
        '\n' => "\n".to_owned(),
        letter if letter.is_control() => format!("\\u{:04x}", u32::from(letter)),
        letter => letter.to_string(),
    };
    let document: String = document.chars().map(escape).collect();
    print_text(&format!("{document}\n"))
}

/// Prints a line on standard error.
pub(super) fn print_progress(line: &str) {
    // The command goes on when standard error is closed.
    writeln!(std::io::stderr(), "{}", escape_control(line)).ok();
}

/// Escapes control characters: the broker's texts contain names that others have chosen.
pub(super) fn escape_control(text: &str) -> String {
    let escape = |letter: char| match letter {
        letter if letter.is_control() => letter.escape_unicode().to_string(),
        letter => letter.to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::escape_control;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(escape_control("ünïcode is fine"), "ünïcode is fine");
        assert_eq!(escape_control("a\x1b[2Jb\n\u{9b}c"), r"a\u{1b}[2Jb\u{a}\u{9b}c");
    }
}
