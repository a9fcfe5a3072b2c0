//! A line that tells how far it is, on a terminal.

use std::io::{IsTerminal as _, stderr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::commands::print;

/// What is over sooner needs no progress.
const QUIET: Duration = Duration::from_secs(2);

/// How far it is.
#[derive(Debug)]
pub(super) struct Progress {
    of: i64,
    done: AtomicI64,
    begun: Instant,
    shown: bool,
}

impl Progress {
    pub(super) fn of(count: i64) -> Self {
        let shown = stderr().is_terminal();
        Self { of: count, done: AtomicI64::new(0), begun: Instant::now(), shown }
    }

    /// So many are done.
    pub(super) fn reached(&self, done: i64) {
        self.done.store(done, Ordering::Relaxed);
        self.say("");
    }

    /// Nothing goes on for now.
    pub(super) fn waits(&self, why: &str) {
        if self.shown {
            self.say(&format!(", waiting: {why}"));
        } else {
            print::aside(&format!("waiting: {why}"));
        }
    }

    fn say(&self, more: &str) {
        if self.shown && (self.begun.elapsed() > QUIET || !more.is_empty()) {
            let done = self.done.load(Ordering::Relaxed);
            print::over_line(&format!("{done} of {} events{more}", self.of));
        }
    }

    /// Takes the line away.
    pub(super) fn end(&self) {
        if self.shown {
            print::over_line("");
        }
    }
}
