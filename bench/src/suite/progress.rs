//! Progress: one changing line on a terminal, otherwise a line each.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// Reports the suite's progress.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    /// The current line, on a terminal.
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

/// Ignores a closed standard error.
fn show(begun: Instant, text: &str) {
    clear();
    write!(std::io::stderr(), "{:4} s  {text}", begun.elapsed().as_secs()).ok();
}

fn clear() {
    write!(std::io::stderr(), "\r\x1b[K").ok();
}
