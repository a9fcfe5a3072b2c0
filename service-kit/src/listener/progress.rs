//! The phase of a connection's current request, and its time limits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The slowest rate at which a response may be read, in bytes per second.
const MIN_READ_RATE: u64 = 64 * 1024;

/// How long after shutdown began a connection may still send the rest of its headers.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// The memory reserved for one response.
#[derive(Debug, Clone)]
pub(crate) struct MemoryPermit(
    #[expect(dead_code, reason = "held until the response is sent")]
    pub(crate)  Arc<OwnedSemaphorePermit>,
);

/// How long a connection may stay in each phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimits {
    /// Without a byte of the next request.
    pub(crate) idle: Duration,
    /// How long an idle connection can't be evicted, as its next request may be on its way.
    pub(crate) min_idle: Duration,
    /// From the first byte of a request's headers to the last.
    pub(crate) headers: Duration,
    /// Without the client reading a byte of the response.
    pub(crate) stall: Duration,
    /// While a response is sent, plus a second for each [`MIN_READ_RATE`] bytes that were sent.
    pub(crate) response: Duration,
}

/// The phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No byte of the next request has arrived.
    Idle,
    /// The headers of a request arrive.
    Headers,
    /// The handler has the request, and may read its body.
    Handling,
    /// The response is sent.
    Responding,
    /// The connection was idle and is closed to make room for another one.
    Evicted,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// When the kernel last accepted bytes of the response.
    sent_at: Instant,
    /// How many bytes of the response the kernel has accepted.
    sent: u64,
    /// hyper has the whole body of the response.
    body_complete: bool,
    /// The memory reserved for the response, until all of it is sent.
    memory: Option<MemoryPermit>,
    /// The handler has read the whole body of the request.
    body_read: bool,
    /// The handler responded before it had read the whole body.
    has_unread_body: bool,
    /// When shutdown began.
    stopping: Option<Instant>,
}

/// The phase of one connection. The code that serves the connection reports each step, and
/// [`Slots`](super::slots::Slots) looks for idle ones.
#[derive(Debug)]
pub(crate) struct Progress {
    limits: TimeLimits,
    state: Mutex<State>,
    evicted: CancellationToken,
}

impl Progress {
    /// Creates the state of a connection that was just accepted.
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

    /// Bytes have arrived. Returns false if the connection was evicted and they must be ignored.
    pub(super) fn bytes_received(&self) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            state.set_phase(Phase::Headers);
        }
        state.phase != Phase::Evicted
    }

    /// A request is about to be passed to the handler. Returns false if the connection was
    /// evicted and the handler must not be called.
    pub(super) fn request_started(&self) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Evicted {
            return false;
        }
        state.set_phase(Phase::Handling);
        state.body_read = false;
        true
    }

    /// How long the handler has had the request.
    #[cfg(feature = "api")]
    pub(crate) fn handled_for(&self) -> Duration {
        self.lock().since.elapsed()
    }

    /// The handler has read the whole body.
    #[cfg(feature = "api")]
    pub(crate) fn body_read(&self) {
        self.lock().body_read = true;
    }

    /// The handler has responded, with `memory` reserved for the response. Returns true if it
    /// has not read the whole body of the request.
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

    /// Returns true if the handler responded before it had read the whole body.
    pub(super) fn has_unread_body(&self) -> bool {
        self.lock().has_unread_body
    }

    /// hyper has the whole body of the response.
    pub(super) fn body_complete(&self) {
        self.lock().body_complete = true;
    }

    /// The kernel has accepted bytes from hyper.
    pub(super) fn bytes_sent(&self, bytes: usize) {
        let mut state = self.lock();
        state.sent_at = Instant::now();
        state.sent = state.sent.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// The kernel has accepted all bytes that hyper had.
    pub(super) fn flushed(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Responding && state.body_complete {
            state.set_phase(Phase::Idle);
            state.memory = None;
        }
    }

    /// Returns true if no request is being handled and no response sent.
    pub(super) fn is_between_requests(&self) -> bool {
        matches!(self.phase(), Phase::Idle | Phase::Headers)
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// Shutdown has begun.
    pub(super) fn stop(&self) {
        self.lock().stopping = Some(Instant::now());
    }

    /// Returns when the current phase times out. There is no deadline while the handler handles
    /// the request; it has time limits of its own.
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

    /// Returns since when the connection has been idle, if it may be evicted.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.lock().idle_since(&self.limits)
    }

    /// Evicts the connection if it is idle. Returns false if it is not.
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

    /// Completes when the connection is evicted.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is complete before anything can panic.
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
