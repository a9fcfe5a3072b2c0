//! Shows on a terminal how far a change of many rows is.

use std::io::{IsTerminal as _, stderr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::commands::output;

/// A shorter change shows no progress.
const DELAY: Duration = Duration::from_secs(2);

/// How far a change is.
#[derive(Debug)]
pub(super) struct Progress {
    total: i64,
    done: AtomicI64,
    start: Instant,
    on_terminal: bool,
    /// What one of them is: `event`, say.
    noun: &'static str,
}

impl Progress {
    pub(super) fn new(total: i64, noun: &'static str) -> Self {
        let on_terminal = stderr().is_terminal();
        Self { total, done: AtomicI64::new(0), start: Instant::now(), on_terminal, noun }
    }

    /// Shows that `done` of them are done.
    pub(super) fn set_done(&self, done: i64) {
        self.done.store(done, Ordering::Relaxed);
        self.show("");
    }

    /// Shows that nothing is done for now, and why.
    pub(super) fn set_waiting(&self, reason: &str) {
        if self.on_terminal {
            self.show(&format!(", waiting: {reason}"));
        } else {
            output::note(&format!("waiting: {reason}"));
        }
    }

    fn show(&self, suffix: &str) {
        if self.on_terminal && (self.start.elapsed() > DELAY || !suffix.is_empty()) {
            let done = self.done.load(Ordering::Relaxed);
            let noun = self.noun;
            output::overwrite_line(&format!("{done} of {} {noun}s{suffix}", self.total));
        }
    }

    /// Removes the line.
    pub(super) fn clear(&self) {
        if self.on_terminal {
            output::overwrite_line("");
        }
    }
}
