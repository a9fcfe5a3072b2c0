//! Tracks whether the collector is available. While it is not, no spans are recorded, as they would
//! be dropped.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use url::Url;

/// The pause before an unavailable collector is probed again. Doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What was last logged about the collector.
const LOGGED_NOTHING: u8 = 0;
const LOGGED_SUCCESS: u8 = 1;
const LOGGED_FAILURE: u8 = 2;

/// The state of the collector. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    url: Arc<Url>,
    is_available: Arc<AtomicBool>,
    last_logged: Arc<AtomicU8>,
}

impl Collector {
    pub(super) fn new(url: &Url) -> Self {
        Self {
            url: Arc::new(url.clone()),
            is_available: Arc::default(),
            last_logged: Arc::default(),
        }
    }

    /// Returns true if the collector is thought to accept spans.
    pub(super) fn is_available(&self) -> bool {
        self.is_available.load(Ordering::Relaxed)
    }

    /// Records that the collector accepted spans.
    pub(super) fn accepted(&self) {
        self.is_available.store(true, Ordering::Relaxed);
        if self.last_logged.swap(LOGGED_SUCCESS, Ordering::Relaxed) != LOGGED_SUCCESS {
            tracing::info!(collector = %self.url, "traces are exported");
        }
    }

    /// Records that the collector can't be reached or rejected spans.
    pub(super) fn failed(&self, reason: &str) {
        self.is_available.store(false, Ordering::Relaxed);
        match self.last_logged.swap(LOGGED_FAILURE, Ordering::Relaxed) {
            LOGGED_NOTHING => {
                tracing::info!(collector = %self.url, reason, "there is no collector: no traces are exported until there is one");
            }
            LOGGED_SUCCESS => {
                tracing::warn!(collector = %self.url, reason, "traces are lost: the collector does not take them");
            }
            _ => {}
        }
    }

    /// Probes the collector whenever it is unavailable, until `stop` is closed. Whether a reachable
    /// collector accepts spans is known only after some were sent.
    pub(super) fn watch(&self, stop: &Receiver<()>) {
        let mut pause = FIRST_PAUSE;
        loop {
            if !self.is_available() {
                match self.probe() {
                    Ok(()) if self.last_logged.load(Ordering::Relaxed) == LOGGED_NOTHING => {
                        self.accepted();
                    }
                    Ok(()) => self.is_available.store(true, Ordering::Relaxed),
                    Err(reason) => self.failed(&reason),
                }
            }
            if stop.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let is_exporting = self.last_logged.load(Ordering::Relaxed) == LOGGED_SUCCESS;
            pause = if is_exporting { FIRST_PAUSE } else { (pause * 2).min(MAX_PAUSE) };
        }
    }

    fn probe(&self) -> Result<(), String> {
        let addresses = self.url.socket_addrs(|| None).map_err(|error| error.to_string())?;
        let mut last = "its name has no address".to_owned();
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(_) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }
}
