//! Looking a customer up: first in the cache, then, unless the circuit is open, at the customer service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::timeout;

use super::breaker::CircuitBreaker;
use super::cache::Cache;
use super::call_span::CallSpan;
use super::client::{CallError, Client};
use super::outcome::{Lookup, TimedLookup};
use super::response_count::{Mark, ResponseCount};
use super::shared_calls::{Joined, SharedCall, SharedCalls};
use crate::domain::CustomerId;
use crate::metrics;

/// Calls under way at the most; each may hold a connection until its time limit. More would not be answered sooner: a service that
/// needs 20 ms for a call answers 1,600 a second, and a slower one must not be given more than it answers within the time limit.
const MAX_CALLS: usize = 32;

/// Customers at the most for whom a call is under way or waits for its turn.
const MAX_SHARED_CALLS: usize = 1024;

/// Requests at the most that wait for these calls.
const MAX_CALLERS: usize = 4096;

/// Customers at the most who wait to be asked for again.
const MAX_QUEUED_REFRESHES: usize = 64;

/// How much later a request gives up than the call that began with it, which knows more of the reason.
const CALLER_MARGIN: Duration = Duration::from_millis(20);

/// How customers are looked up. Clones share cache, circuit and calls.
#[derive(Debug, Clone)]
pub struct CustomerDirectory {
    client: Client,
    cache: Cache,
    breaker: CircuitBreaker,
    responses: ResponseCount,
    calls: SharedCalls,
    call_permits: Arc<Semaphore>,
    caller_permits: Arc<Semaphore>,
    refreshes: Sender<CustomerId>,
}

/// Known customers who are to be asked for again before they are forgotten.
#[derive(Debug)]
pub struct RefreshQueue(pub(super) Receiver<CustomerId>);

/// Who wants a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A request, which is content with what another call found meanwhile.
    Request,
    /// A refresh of a cached customer.
    Refresh,
}

impl CustomerDirectory {
    /// A directory that asks `client`, and believes what it said for `time_to_live`; and the queue of what it wants to have refreshed.
    #[must_use]
    pub fn new(client: Client, time_to_live: Duration) -> (Self, RefreshQueue) {
        let (refreshes, due) = mpsc::channel(MAX_QUEUED_REFRESHES);
        let directory = Self {
            client,
            cache: Cache::new(time_to_live),
            breaker: CircuitBreaker::new(),
            responses: ResponseCount::default(),
            calls: SharedCalls::new(MAX_SHARED_CALLS),
            call_permits: Arc::new(Semaphore::new(MAX_CALLS)),
            caller_permits: Arc::new(Semaphore::new(MAX_CALLERS)),
            refreshes,
        };
        (directory, RefreshQueue(due))
    }

    /// Looks a customer up, within the client's time limit.
    pub async fn find(&self, id: CustomerId) -> Lookup {
        let Some(entry) = self.cache.get(id).await else {
            return self.find_uncached(id).await;
        };
        metrics::looked_up("cached");
        if entry.claim_refresh(Instant::now()) && self.refreshes.try_send(id).is_err() {
            entry.cancel_refresh();
        }
        Lookup::Known(entry.customer.clone())
    }

    /// Looks up a customer who is not known.
    async fn find_uncached(&self, id: CustomerId) -> Lookup {
        let arrived = Instant::now();
        if self.cache.is_unknown(id, arrived).await {
            metrics::looked_up("cached_unknown");
            return Lookup::Unknown;
        }
        // Nobody waits for a turn while the service is left alone.
        if self.breaker.is_open(arrived) {
            metrics::looked_up("left_alone");
            return circuit_open();
        }
        let Ok(_caller) = self.caller_permits.try_acquire() else {
            metrics::looked_up("crowded");
            return Lookup::Overloaded(format!("{MAX_CALLERS} requests wait for it already"));
        };
        let mark = self.responses.mark();
        let answer =
            timeout(self.client.limit() + CALLER_MARGIN, self.find_recent(id, arrived)).await;
        answer.unwrap_or_else(|_| {
            let (outcome, result) = timed_out(self.blame_for_timeout(mark));
            metrics::looked_up(result);
            outcome.lookup
        })
    }

    /// The outcome of a call that is recent enough. It takes two calls at the most: the second one begins after the first has ended.
    async fn find_recent(&self, id: CustomerId, arrived: Instant) -> Lookup {
        loop {
            let outcome = self.join_call(id, Purpose::Request).await;
            if !outcome.is_outdated(arrived) {
                return outcome.lookup;
            }
        }
    }

    /// Asks for a known customer again. Returns whether there was an answer; without one, the next request may leave a note again.
    pub(super) async fn refresh(&self, id: CustomerId) -> bool {
        match self.join_call(id, Purpose::Refresh).await.lookup {
            Lookup::Known(_) | Lookup::Unknown => true,
            Lookup::Overloaded(reason) | Lookup::Unavailable(reason) => {
                tracing::debug!(reason, "a known customer could not be asked for again");
                if let Some(entry) = self.cache.get(id).await {
                    entry.cancel_refresh();
                }
                false
            }
        }
    }

    /// Waits for the call for `id`, which goes on when nobody waits for it any more.
    async fn join_call(&self, id: CustomerId, purpose: Purpose) -> TimedLookup {
        let begin = || {
            let (directory, call) = (self.clone(), self.client.start_span());
            async move { directory.run_call(id, purpose, call).await }
        };
        let call: SharedCall = match self.calls.join(id, begin) {
            Joined::New(call) => call,
            Joined::Existing(call) => {
                metrics::looked_up("shared");
                call
            }
            Joined::Full => {
                metrics::looked_up("crowded");
                let reason = format!("{MAX_SHARED_CALLS} customers are being looked up already");
                return now(Lookup::Overloaded(reason));
            }
        };
        call.await.unwrap_or_else(|| now(Lookup::Unavailable("the call was broken off".to_owned())))
    }

    /// A call from its beginning to its end, which is counted whoever waits for it.
    async fn run_call(self, id: CustomerId, purpose: Purpose, call: CallSpan) -> TimedLookup {
        let (outcome, result) = self.ask(id, purpose, &call).await;
        if let Lookup::Overloaded(reason) | Lookup::Unavailable(reason) = &outcome.lookup {
            call.failed(reason);
        }
        metrics::looked_up(result);
        outcome
    }

    async fn ask(
        &self,
        id: CustomerId,
        purpose: Purpose,
        call: &CallSpan,
    ) -> (TimedLookup, &'static str) {
        if purpose == Purpose::Request {
            // Another call may have ended after its caller had looked into the cache.
            if let Some(entry) = self.cache.get(id).await {
                return (now(Lookup::Known(entry.customer.clone())), "cached");
            }
            if self.cache.is_unknown(id, Instant::now()).await {
                return (now(Lookup::Unknown), "cached_unknown");
            }
        }
        let mark = self.responses.mark();
        let turn = timeout(self.client.limit(), self.call_permits.acquire()).await;
        // The semaphore is never closed, so that only the time can have run out.
        let Ok(Ok(_turn)) = turn else {
            return timed_out(self.blame_for_timeout(mark));
        };
        // Asked for leave only now: the circuit may have opened meanwhile, and a probe must not wait.
        let Some(permit) = self.breaker.try_acquire(Instant::now()) else {
            return (now(circuit_open()), "left_alone");
        };
        let (asked, mark) = (Instant::now(), self.responses.mark());
        match self.client.find(id, call).await {
            Ok(answer) => {
                self.responses.record();
                permit.succeeded();
                match answer {
                    Some(customer) => {
                        self.cache.put(id, customer.clone()).await;
                        (TimedLookup { lookup: Lookup::Known(customer), asked }, "known")
                    }
                    None => {
                        self.cache.put_unknown(id, asked).await;
                        (TimedLookup { lookup: Lookup::Unknown, asked }, "unknown")
                    }
                }
            }
            // The service answers others: a crowd is our doing, not its failure.
            Err(CallError::TimedOut) if self.responses.any_since(mark) => {
                timed_out(self.blame_for_timeout(mark))
            }
            Err(failure) => {
                permit.failed(Instant::now());
                (now(Lookup::Unavailable(failure.to_string())), "unavailable")
            }
        }
    }

    /// What is told to a request or a call whose time has run out and that began at `mark`.
    fn blame_for_timeout(&self, mark: Mark) -> Lookup {
        if self.responses.any_since(mark) {
            return Lookup::Overloaded("it answered others in this time".to_owned());
        }
        Lookup::Unavailable(CallError::TimedOut.to_string())
    }
}

fn circuit_open() -> Lookup {
    Lookup::Unavailable("it has not answered lately".to_owned())
}

fn now(lookup: Lookup) -> TimedLookup {
    TimedLookup { lookup, asked: Instant::now() }
}

fn timed_out(lookup: Lookup) -> (TimedLookup, &'static str) {
    let result = if matches!(lookup, Lookup::Overloaded(_)) { "crowded" } else { "unavailable" };
    (now(lookup), result)
}

#[cfg(test)]
mod tests;
