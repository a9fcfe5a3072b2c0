//! A connection that is opened again for as long as it takes, beside all else: a server that
//! accepts a connection and says nothing delays nobody.

use std::fmt::Display;
use std::time::Instant;

use service_kit::backoff::Backoff;
use service_kit::health::Dependency;
use tokio_util::task::AbortOnDropHandle;

#[derive(Debug)]
enum State<T> {
    Disconnected { retry_at: Instant },
    Connecting(AbortOnDropHandle<Result<T, String>>),
    Connected(T),
}

/// A connection that may be down.
#[derive(Debug)]
pub(crate) struct Reconnecting<T> {
    state: State<T>,
    /// What `/readyz` says of it.
    dependency: Dependency,
    backoff: Backoff,
    /// Whether it could be opened and then failed at its work: opening it again does not prove that
    /// it works.
    is_suspect: bool,
    /// Why it can't be used now.
    unusable_reason: Option<String>,
}

impl<T: Send + 'static> Reconnecting<T> {
    pub(crate) fn new(dependency: Dependency) -> Self {
        Self {
            state: State::Disconnected { retry_at: Instant::now() },
            dependency,
            backoff: Backoff::reconnect(),
            is_suspect: false,
            unusable_reason: None,
        }
    }

    /// The open connection.
    pub(crate) const fn get(&mut self) -> Option<&mut T> {
        match &mut self.state {
            State::Connected(connection) => Some(connection),
            State::Disconnected { .. } | State::Connecting(_) => None,
        }
    }

    /// Takes the open connection away, to close it.
    pub(crate) fn take(&mut self) -> Option<T> {
        let disconnected = State::Disconnected { retry_at: Instant::now() };
        match std::mem::replace(&mut self.state, disconnected) {
            State::Connected(connection) => Some(connection),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Begins to open the connection, if an attempt is due.
    pub(crate) fn connect<E: Display>(
        &mut self,
        connect: impl Future<Output = Result<T, E>> + Send + 'static,
    ) {
        if self.due().is_some_and(|due| due <= Instant::now()) {
            let attempt = async move { connect.await.map_err(|reason| format!("{reason:#}")) };
            self.state = State::Connecting(AbortOnDropHandle::new(tokio::spawn(attempt)));
        }
    }

    /// When the next attempt is due, if none is under way and the connection is not open.
    pub(crate) const fn due(&self) -> Option<Instant> {
        match self.state {
            State::Disconnected { retry_at } => Some(retry_at),
            State::Connecting(_) | State::Connected(_) => None,
        }
    }

    /// Waits for the end of the attempt that is under way; for ever if there is none. May be
    /// dropped at any time.
    pub(crate) async fn connected(&mut self) {
        let State::Connecting(attempt) = &mut self.state else {
            return std::future::pending().await;
        };
        let connected = attempt.await;
        match connected {
            Ok(Ok(connection)) => {
                self.state = State::Connected(connection);
                if !self.is_suspect {
                    self.unusable_reason = None;
                    self.dependency.up();
                }
            }
            Ok(Err(reason)) => self.mark_lost(&reason),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// The same without waiting for an attempt that has not ended.
    pub(crate) async fn poll_connected(&mut self) {
        if matches!(&self.state, State::Connecting(attempt) if attempt.is_finished()) {
            self.connected().await;
        }
    }

    /// The connection did its work. Only this resets the backoff, not that it could be opened: a
    /// server that accepts connections and then fails is not to be connected to without pause.
    pub(crate) fn mark_healthy(&mut self) {
        self.backoff.reset();
        self.is_suspect = false;
        self.unusable_reason = None;
        self.dependency.up();
    }

    /// The connection is gone or could not be opened. It is opened again after a pause.
    pub(crate) fn mark_lost(&mut self, reason: &str) {
        self.state = State::Disconnected { retry_at: Instant::now() + self.backoff.next_delay() };
        self.mark_blocked(reason);
    }

    /// The connection was open and failed at its work: as [`mark_lost`](Self::mark_lost), and it
    /// counts as down until it is [healthy](Self::mark_healthy).
    pub(crate) fn mark_failed(&mut self, reason: &str) {
        self.is_suspect = true;
        self.mark_lost(reason);
    }

    /// The connection is open but can't be used for now.
    pub(crate) fn mark_blocked(&mut self, reason: &str) {
        self.unusable_reason = Some(reason.to_owned());
        self.dependency.down(reason);
    }

    /// Why the connection can't be used now, if so.
    pub(crate) fn unusable_reason(&self) -> Option<&str> {
        self.unusable_reason.as_deref()
    }
}
