//! What is being done: one line that changes on a terminal, a line each elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// Tells people how far the suite is.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    /// What is being done, on a terminal.
    line: Option<(Arc<Mutex<String>>, JoinHandle<()>)>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let begun = Instant::now();
        if !std::io::stderr().is_terminal() {
            return Self { begun, line: None };
        }
        let text = Arc::<Mutex<String>>::default();
        let shown = Arc::clone(&text);
        let clock = tokio::spawn(async move {
            loop {
                show(begun, &shown.lock().unwrap_or_else(PoisonError::into_inner));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Self { begun, line: Some((text, clock)) }
    }

    pub(super) fn say(&self, text: &str) {
        match &self.line {
            None => eprintln!("{:4} s  {text}", self.begun.elapsed().as_secs()),
            Some((line, _)) => {
                text.clone_into(&mut line.lock().unwrap_or_else(PoisonError::into_inner));
                show(self.begun, text);
            }
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((_, clock)) = &self.line {
            clock.abort();
            clear();
        }
    }
}

/// That standard error is gone stops nothing.
fn show(begun: Instant, text: &str) {
    clear();
    write!(std::io::stderr(), "{:4} s  {text}", begun.elapsed().as_secs()).ok();
}

fn clear() {
    write!(std::io::stderr(), "\r\x1b[K").ok();
}
