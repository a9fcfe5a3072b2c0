//! Shows how far a change of many rows is: on a terminal in one line that is overwritten, and beside
//! JSON as lines of standard error, which programs read.

use std::io::{IsTerminal as _, stderr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::commands::output;

/// A shorter change shows no progress.
const DELAY: Duration = Duration::from_secs(2);

/// What a line of progress beside JSON begins with.
const PREFIX: &str = "progress: ";

/// Where progress is shown.
#[derive(Debug)]
enum Shown {
    OnTerminal,
    /// As lines, one a second at the most: the second of the change in which the last one was.
    AsLines(AtomicU64),
    Nowhere,
}

/// How far a change is.
#[derive(Debug)]
pub(super) struct Progress {
    total: i64,
    done: AtomicI64,
    start: Instant,
    shown: Shown,
    /// What one of them is: `event`, say.
    noun: &'static str,
}

impl Progress {
    /// A change of `total` rows begins, whose result is printed as JSON or not.
    pub(super) fn new(total: i64, noun: &'static str, json: bool) -> Self {
        let shown = match (stderr().is_terminal(), json) {
            (true, _) => Shown::OnTerminal,
            (false, true) => Shown::AsLines(AtomicU64::new(0)),
            (false, false) => Shown::Nowhere,
        };
        Self { total, done: AtomicI64::new(0), start: Instant::now(), shown, noun }
    }

    /// Shows that `done` of them are done.
    pub(super) fn set_done(&self, done: i64) {
        self.done.store(done, Ordering::Relaxed);
        let elapsed = self.start.elapsed();
        if elapsed <= DELAY {
            return;
        }
        match &self.shown {
            Shown::OnTerminal => output::overwrite_line(&self.text()),
            Shown::AsLines(last) => {
                let second = elapsed.as_secs();
                if last.swap(second, Ordering::Relaxed) < second {
                    output::note(&format!("{PREFIX}{}", self.text()));
                }
            }
            Shown::Nowhere => {}
        }
    }

    /// Shows that nothing is done for now, and why.
    pub(super) fn set_waiting(&self, reason: &str) {
        if matches!(self.shown, Shown::OnTerminal) {
            output::overwrite_line(&format!("{}, waiting: {reason}", self.text()));
        } else {
            output::note(&format!("waiting: {reason}"));
        }
    }

    /// Removes the line.
    pub(super) fn clear(&self) {
        if matches!(self.shown, Shown::OnTerminal) {
            output::overwrite_line("");
        }
    }

    fn text(&self) -> String {
        let done = self.done.load(Ordering::Relaxed);
        format!("{done} of {} {}s", self.total, self.noun)
    }
}

/// A line of progress, as a program reads it.
#[cfg(feature = "console")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgressLine {
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// What is counted: `events`, say.
    pub(crate) nouns: String,
}

#[cfg(feature = "console")]
impl ProgressLine {
    /// Returns `None` for any other line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (done, rest) = line.strip_prefix(PREFIX)?.trim_end().split_once(" of ")?;
        let (total, nouns) = rest.split_once(' ')?;
        Some(Self { done: done.parse().ok()?, total: total.parse().ok()?, nouns: nouns.to_owned() })
    }
}

#[cfg(all(test, feature = "console"))]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_the_line_that_is_written() {
        let progress = Progress::new(40_000, "dead letter", true);
        progress.set_done(12_000);
        let line = format!("{PREFIX}{}\n", progress.text());
        let nouns = "dead letters".to_owned();
        let read = ProgressLine { done: 12_000, total: 40_000, nouns };
        assert_eq!(ProgressLine::parse(&line), Some(read));
        for other in ["waiting: the broker is lost", "progress: soon", "12 of 40 events", ""] {
            assert_eq!(ProgressLine::parse(other), None);
        }
    }
}
