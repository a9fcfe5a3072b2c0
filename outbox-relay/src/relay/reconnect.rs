//! A connection that is opened again for as long as it takes, beside all else: a server that accepts a connection and says nothing
//! holds up nobody.

use std::fmt::Display;
use std::time::Instant;

use service_kit::backoff::Backoff;
use service_kit::health::Dependency;
use tokio_util::task::AbortOnDropHandle;

/// A connection that may be down.
#[derive(Debug)]
pub(crate) struct Link<T> {
    open: Option<T>,
    /// The attempt to open it that is under way.
    attempt: Option<AbortOnDropHandle<Result<T, String>>>,
    dependency: Dependency,
    backoff: Backoff,
    not_before: Instant,
    /// It could be opened and yet did not do what it is for: opening it again proves nothing.
    doubtful: bool,
    /// Why it is of no use now.
    trouble: Option<String>,
}

impl<T: Send + 'static> Link<T> {
    pub(crate) fn new(dependency: Dependency) -> Self {
        Self {
            open: None,
            attempt: None,
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

    /// Begins to open the connection, unless it is open or being opened, or the time for another attempt has not come.
    pub(crate) fn begin<E: Display>(
        &mut self,
        connect: impl Future<Output = Result<T, E>> + Send + 'static,
    ) {
        if self.due().is_some_and(|due| due <= Instant::now()) {
            let attempt = async move { connect.await.map_err(|reason| format!("{reason:#}")) };
            self.attempt = Some(AbortOnDropHandle::new(tokio::spawn(attempt)));
        }
    }

    /// When the next attempt is due, if none is under way and the connection is not open.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.open.is_none() && self.attempt.is_none()).then_some(self.not_before)
    }

    /// Waits for the end of the attempt that is under way; for ever if there is none. May be dropped at any time.
    pub(crate) async fn attempted(&mut self) {
        let Some(attempt) = &mut self.attempt else {
            return std::future::pending().await;
        };
        let connected = attempt.await;
        self.attempt = None;
        match connected {
            Ok(Ok(connection)) => {
                self.open = Some(connection);
                if !self.doubtful {
                    self.trouble = None;
                    self.dependency.up();
                }
            }
            Ok(Err(reason)) => self.lost(&reason),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Takes up an attempt that has ended.
    pub(crate) async fn take_up(&mut self) {
        if self.attempt.as_ref().is_some_and(AbortOnDropHandle::is_finished) {
            self.attempted().await;
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
