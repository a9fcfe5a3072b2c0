//! Whether there is a collector. While there is none no spans are made: they could only be thrown away.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use url::Url;

/// How long after the first knock at a collector that is away the next one comes; each one that is in vain doubles it.
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);

/// How long it may take to open.
const CONNECT: Duration = Duration::from_secs(2);

/// What the log was told last.
const NOTHING: u8 = 0;
const EXPORTED: u8 = 1;
const NOT_EXPORTED: u8 = 2;

/// What is known of the collector. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    url: Arc<Url>,
    is_there: Arc<AtomicBool>,
    told: Arc<AtomicU8>,
}

impl Collector {
    pub(super) fn new(url: &Url) -> Self {
        Self { url: Arc::new(url.clone()), is_there: Arc::default(), told: Arc::default() }
    }

    /// Whether it takes spans, as far as is known.
    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    /// It took spans.
    pub(super) fn took(&self) {
        self.is_there.store(true, Ordering::Relaxed);
        if self.told.swap(EXPORTED, Ordering::Relaxed) != EXPORTED {
            tracing::info!(collector = %self.url, "traces are exported");
        }
    }

    /// It can't be reached, or did not take spans.
    pub(super) fn failed(&self, reason: &str) {
        self.is_there.store(false, Ordering::Relaxed);
        match self.told.swap(NOT_EXPORTED, Ordering::Relaxed) {
            NOTHING => {
                tracing::info!(collector = %self.url, reason, "there is no collector: no traces are exported until there is one");
            }
            EXPORTED => {
                tracing::warn!(collector = %self.url, reason, "traces are lost: the collector does not take them");
            }
            _ => {}
        }
    }

    /// Knocks at it whenever it is not there, until `stop` is closed. Whether one that opens takes spans shows when it is
    /// sent some.
    pub(super) fn watch(&self, stop: &Receiver<()>) {
        let mut pause = FIRST;
        loop {
            if !self.is_there() {
                match self.knock() {
                    Ok(()) if self.told.load(Ordering::Relaxed) == NOTHING => self.took(),
                    Ok(()) => self.is_there.store(true, Ordering::Relaxed),
                    Err(reason) => self.failed(&reason),
                }
            }
            if stop.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let works = self.told.load(Ordering::Relaxed) == EXPORTED;
            pause = if works { FIRST } else { (pause * 2).min(LONGEST) };
        }
    }

    fn knock(&self) -> Result<(), String> {
        let addresses = self.url.socket_addrs(|| None).map_err(|error| error.to_string())?;
        let mut last = "its name has no address".to_owned();
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(_) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }
}
