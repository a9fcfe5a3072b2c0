//! How far a connection is with its current request, and how long it may stay there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::memory::Held;

/// The slowest rate, in bytes a second, at which an answer may be read.
const SLOWEST_READING: u64 = 64 * 1024;

/// How long after the stop a connection may still send the rest of its headers.
const LAST_CALL: Duration = Duration::from_millis(500);

/// How long a connection may stay in a phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimits {
    /// Without a byte of the next request.
    pub(crate) idle: Duration,
    /// Of that, how long it is left alone by connections that need its slot: its next request may be on its way.
    pub(crate) undisturbed: Duration,
    /// From the first byte of a request's headers to the last.
    pub(crate) headers: Duration,
    /// While the client takes no byte of an answer.
    pub(crate) stalled: Duration,
    /// While an answer is sent, besides a second for each [`SLOWEST_READING`] bytes that the client has taken.
    pub(crate) answer: Duration,
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
    Answering,
    /// It was idle, and is closed to make room for another connection.
    GivenUp,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// When the system last took bytes of the answer.
    taken_at: Instant,
    /// How many bytes of the answer the system has taken.
    taken: u64,
    /// hyper has been given the whole answer.
    answer_is_whole: bool,
    /// The memory that the answer takes, until the system has all of it.
    held: Option<Held>,
    /// The application has read the body of the request to its end.
    body_was_read: bool,
    /// Some of the last request's body was not read when its answer was there.
    body_is_left: bool,
    /// When the server began to stop.
    stopping: Option<Instant>,
}

/// The phase of one connection. What serves the connection reports each step; the slots ask who is idle.
#[derive(Debug)]
pub(super) struct Progress {
    limits: TimeLimits,
    state: Mutex<State>,
    given_up: CancellationToken,
}

impl Progress {
    /// Of a connection that has just been accepted.
    pub(super) fn new(limits: TimeLimits) -> Self {
        let now = Instant::now();
        let state = State {
            phase: Phase::Idle,
            since: now,
            taken_at: now,
            taken: 0,
            answer_is_whole: false,
            held: None,
            body_was_read: false,
            body_is_left: false,
            stopping: None,
        };
        Self { limits, state: Mutex::new(state), given_up: CancellationToken::new() }
    }

    /// Bytes have come. Returns false if the connection was given up before: they must not be looked at.
    pub(super) fn received(&self) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            state.enter(Phase::Headers);
        }
        state.phase != Phase::GivenUp
    }

    /// The application is to be given a request. Returns false if the connection was given up before: then it must not begin.
    pub(super) fn called(&self) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::GivenUp {
            return false;
        }
        state.enter(Phase::Handling);
        state.body_was_read = false;
        true
    }

    /// The application has read the body to its end.
    pub(super) fn body_was_read(&self) {
        self.lock().body_was_read = true;
    }

    /// hyper is given the application's answer, which takes the memory `held`. Returns whether the request has a body that the
    /// application has not read to its end.
    pub(super) fn answered(&self, has_body: bool, held: Option<Held>) -> bool {
        let mut state = self.lock();
        state.enter(Phase::Answering);
        state.taken_at = state.since;
        state.taken = 0;
        state.answer_is_whole = false;
        state.held = held;
        state.body_is_left = has_body && !state.body_was_read;
        state.body_is_left
    }

    /// Whether some of the last request's body was not read when its answer was there.
    pub(super) fn body_is_left(&self) -> bool {
        self.lock().body_is_left
    }

    /// hyper has all of the answer's body.
    pub(super) fn answer_is_whole(&self) {
        self.lock().answer_is_whole = true;
    }

    /// The system has taken bytes from hyper.
    pub(super) fn sent(&self, bytes: usize) {
        let mut state = self.lock();
        state.taken_at = Instant::now();
        state.taken = state.taken.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// The system has taken all that hyper had.
    pub(super) fn flushed(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Answering && state.answer_is_whole {
            state.enter(Phase::Idle);
            state.held = None;
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
            Some(state.stopping.map_or(deadline, |stop| deadline.min(stop + LAST_CALL)))
        };
        match state.phase {
            Phase::Idle => waits_for_client(self.limits.idle),
            Phase::Headers => waits_for_client(self.limits.headers),
            Phase::Answering => {
                let earned = Duration::from_millis(state.taken * 1000 / SLOWEST_READING);
                let whole = state.since + self.limits.answer + earned;
                Some(whole.min(state.taken_at + self.limits.stalled))
            }
            Phase::Handling | Phase::GivenUp => None,
        }
    }

    /// Since when it has been idle, if it has been for long enough to be given up.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.lock().idle_since(&self.limits)
    }

    /// Gives the connection up if it is idle. Returns false if it is not any more.
    pub(super) fn give_up(&self) -> bool {
        let mut state = self.lock();
        let idle = state.idle_since(&self.limits).is_some();
        if idle {
            state.enter(Phase::GivenUp);
            drop(state);
            self.given_up.cancel();
        }
        idle
    }

    /// Waits until the connection is given up.
    pub(super) async fn given_up(&self) {
        self.given_up.cancelled().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn idle_since(&self, limits: &TimeLimits) -> Option<Instant> {
        let is_idle = self.phase == Phase::Idle && self.since.elapsed() >= limits.undisturbed;
        is_idle.then_some(self.since)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }
}

#[cfg(test)]
mod tests;
