//! A connection that is opened again for as long as it takes.

use std::fmt::Display;

use service_kit::backoff::Backoff;
use service_kit::health::Dependency;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A connection that may be down.
#[derive(Debug)]
pub(crate) struct Link<T> {
    open: Option<T>,
    dependency: Dependency,
    backoff: Backoff,
    not_before: Instant,
    /// It could be opened and yet did not do what it is for: opening it again proves nothing.
    doubtful: bool,
    /// Why it is of no use now.
    trouble: Option<String>,
}

impl<T> Link<T> {
    pub(crate) fn new(dependency: Dependency) -> Self {
        Self {
            open: None,
            dependency,
            backoff: Backoff::reconnect(),
            not_before: Instant::now(),
            doubtful: false,
            trouble: None,
        }
    }

    pub(crate) const fn get(&mut self) -> Option<&mut T> {
        self.open.as_mut()
    }

    /// Takes the connection away, to close it.
    pub(crate) const fn take(&mut self) -> Option<T> {
        self.open.take()
    }

    /// Opens the connection when it is not open and the time for another try has come.
    pub(crate) async fn open<E: Display>(
        &mut self,
        connect: impl Future<Output = Result<T, E>>,
        stop: &CancellationToken,
    ) {
        if self.open.is_some() || Instant::now() < self.not_before {
            return;
        }
        let connected = tokio::select! {
            () = stop.cancelled() => return,
            connected = connect => connected,
        };
        match connected {
            Ok(connection) => {
                self.open = Some(connection);
                if !self.doubtful {
                    self.trouble = None;
                    self.dependency.up();
                }
            }
            Err(reason) => self.lost(&format!("{reason:#}")),
        }
    }

    /// The connection did what it is for. Only this makes the next waits short again, not that connecting succeeded:
    /// a server that accepts connections and then fails must not be knocked at without pause.
    pub(crate) fn works(&mut self) {
        self.backoff.reset();
        self.doubtful = false;
        self.trouble = None;
        self.dependency.up();
    }

    /// The connection is of no use any more, or could not be opened; another try will be made after a pause.
    pub(crate) fn lost(&mut self, reason: &str) {
        self.open = None;
        self.not_before = Instant::now() + self.backoff.next_delay();
        self.hindered(reason);
    }

    /// The connection was open and did not do what it is for: as [`lost`](Self::lost), and it counts as down until it
    /// [`works`](Self::works).
    pub(crate) fn failed(&mut self, reason: &str) {
        self.doubtful = true;
        self.lost(reason);
    }

    /// The connection is open but can't be used for now.
    pub(crate) fn hindered(&mut self, reason: &str) {
        self.trouble = Some(reason.to_owned());
        self.dependency.down(reason);
    }

    /// Why the connection is of no use now, if it is.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}
