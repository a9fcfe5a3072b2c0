//! How far a connection is with its current request, and how long it may stay there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::response_memory::MemoryPermit;

/// The slowest rate, in bytes a second, at which an answer may be read.
const MIN_READ_RATE: u64 = 64 * 1024;

/// How long after the stop a connection may still send the rest of its headers.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// How long a connection may stay in a phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimits {
    /// Without a byte of the next request.
    pub(crate) idle: Duration,
    /// Of that, how long it is left alone by connections that need its slot: its next request may be on its way.
    pub(crate) min_idle: Duration,
    /// From the first byte of a request's headers to the last.
    pub(crate) headers: Duration,
    /// While the client takes no byte of an answer.
    pub(crate) stall: Duration,
    /// While an answer is sent, besides a second for each [`MIN_READ_RATE`] bytes that the client has taken.
    pub(crate) response: Duration,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No byte of the next request has come.
    Idle,
    /// The headers of a request come in.
    Headers,
    /// The application has the request, and perhaps reads its body.
    Handling,
    /// The answer is sent.
    Responding,
    /// It was idle, and is closed to make room for another connection.
    Evicted,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// When the system last took bytes of the answer.
    sent_at: Instant,
    /// How many bytes of the answer the system has taken.
    sent: u64,
    /// hyper has been given the whole answer.
    body_complete: bool,
    /// The memory that the answer takes, until the system has all of it.
    memory: Option<MemoryPermit>,
    /// The application has read the body of the request to its end.
    body_read: bool,
    /// Some of the last request's body was not read when its answer was there.
    has_unread_body: bool,
    /// When the server began to stop.
    stopping: Option<Instant>,
}

/// The phase of one connection. What serves the connection reports each step; the slots ask who is idle.
#[derive(Debug)]
pub(super) struct Progress {
    limits: TimeLimits,
    state: Mutex<State>,
    evicted: CancellationToken,
}

impl Progress {
    /// Of a connection that has just been accepted.
    pub(super) fn new(limits: TimeLimits) -> Self {
        let now = Instant::now();
        let state = State {
            phase: Phase::Idle,
            since: now,
            sent_at: now,
            sent: 0,
            body_complete: false,
            memory: None,
            body_read: false,
            has_unread_body: false,
            stopping: None,
        };
        Self { limits, state: Mutex::new(state), evicted: CancellationToken::new() }
    }

    /// Bytes have come. Returns false if the connection was given up before: they must not be looked at.
    pub(super) fn bytes_received(&self) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            state.set_phase(Phase::Headers);
        }
        state.phase != Phase::Evicted
    }

    /// The application is to be given a request. Returns false if the connection was given up before: then it must not begin.
    pub(super) fn request_started(&self) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Evicted {
            return false;
        }
        state.set_phase(Phase::Handling);
        state.body_read = false;
        true
    }

    /// The application has read the body to its end.
    pub(super) fn body_read(&self) {
        self.lock().body_read = true;
    }

    /// hyper is given the application's answer, which takes the memory `held`. Returns whether the request has a body that the
    /// application has not read to its end.
    pub(super) fn response_started(&self, has_body: bool, memory: Option<MemoryPermit>) -> bool {
        let mut state = self.lock();
        state.set_phase(Phase::Responding);
        state.sent_at = state.since;
        state.sent = 0;
        state.body_complete = false;
        state.memory = memory;
        state.has_unread_body = has_body && !state.body_read;
        state.has_unread_body
    }

    /// Whether some of the last request's body was not read when its answer was there.
    pub(super) fn has_unread_body(&self) -> bool {
        self.lock().has_unread_body
    }

    /// hyper has all of the answer's body.
    pub(super) fn body_complete(&self) {
        self.lock().body_complete = true;
    }

    /// The system has taken bytes from hyper.
    pub(super) fn bytes_sent(&self, bytes: usize) {
        let mut state = self.lock();
        state.sent_at = Instant::now();
        state.sent = state.sent.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// The system has taken all that hyper had.
    pub(super) fn flushed(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Responding && state.body_complete {
            state.set_phase(Phase::Idle);
            state.memory = None;
        }
    }

    /// Whether no request is being handled or answered.
    pub(super) fn is_between_requests(&self) -> bool {
        matches!(self.phase(), Phase::Idle | Phase::Headers)
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// The server stops.
    pub(super) fn stop(&self) {
        self.lock().stopping = Some(Instant::now());
    }

    /// When the connection has been in its phase for too long. Never while the application has the request: it has limits of its own.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.lock();
        let waits_for_client = |limit| {
            let deadline = state.since + limit;
            Some(state.stopping.map_or(deadline, |stop| deadline.min(stop + STOP_GRACE)))
        };
        match state.phase {
            Phase::Idle => waits_for_client(self.limits.idle),
            Phase::Headers => waits_for_client(self.limits.headers),
            Phase::Responding => {
                let earned = Duration::from_millis(state.sent * 1000 / MIN_READ_RATE);
                let whole = state.since + self.limits.response + earned;
                Some(whole.min(state.sent_at + self.limits.stall))
            }
            Phase::Handling | Phase::Evicted => None,
        }
    }

    /// Since when it has been idle, if it has been for long enough to be given up.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.lock().idle_since(&self.limits)
    }

    /// Gives the connection up if it is idle. Returns false if it is not any more.
    pub(super) fn evict(&self) -> bool {
        let mut state = self.lock();
        let idle = state.idle_since(&self.limits).is_some();
        if idle {
            state.set_phase(Phase::Evicted);
            drop(state);
            self.evicted.cancel();
        }
        idle
    }

    /// Waits until the connection is given up.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn idle_since(&self, limits: &TimeLimits) -> Option<Instant> {
        let is_idle = self.phase == Phase::Idle && self.since.elapsed() >= limits.min_idle;
        is_idle.then_some(self.since)
    }

    fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }
}

#[cfg(test)]
mod tests;
