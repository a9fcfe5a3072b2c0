//! Customer lookups: in the cache first, then, unless the circuit is open, at the customer service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::timeout;

use super::breaker::CircuitBreaker;
use super::cache::Cache;
use super::call_span::CallSpan;
use super::client::{CallError, Client};
use super::lookup::{Lookup, TimedLookup};
use super::response_count::{Mark, ResponseCount};
use super::shared_calls::{Joined, SharedCall, SharedCalls};
use crate::domain::CustomerId;
use crate::metrics;

/// The most calls in flight; each may hold a connection until its time limit. More would not be
/// answered sooner: a service that needs 20 ms for a call answers 1,600 a second, and a slower one
/// must not be sent more than it can answer within the time limit.
const MAX_CALLS: usize = 32;

/// The most customers for whom a call is in flight or waits for a permit.
const MAX_SHARED_CALLS: usize = 1024;

/// The most requests that wait for these calls.
const MAX_CALLERS: usize = 4096;

/// The most customers that wait to be refreshed.
const MAX_QUEUED_REFRESHES: usize = 64;

/// How much longer a request waits than the call that it began: the call reports a more exact
/// reason.
const CALLER_MARGIN: Duration = Duration::from_millis(20);

/// Looks customers up. Clones share the cache, the circuit breaker and the calls.
#[derive(Debug, Clone)]
pub(crate) struct CustomerDirectory {
    client: Client,
    cache: Cache,
    breaker: CircuitBreaker,
    responses: ResponseCount,
    calls: SharedCalls,
    call_permits: Arc<Semaphore>,
    caller_permits: Arc<Semaphore>,
    refreshes: Sender<CustomerId>,
}

/// Cached customers that are due for a refresh.
#[derive(Debug)]
pub(crate) struct RefreshQueue(pub(super) Receiver<CustomerId>);

/// What a call is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A request, which accepts what another call has found meanwhile.
    Request,
    /// A refresh of a cached customer.
    Refresh,
}

impl CustomerDirectory {
    /// A directory that asks `client` and caches its answers for `time_to_live`, and the queue of
    /// its refreshes.
    #[must_use]
    pub(crate) fn new(client: Client, time_to_live: Duration) -> (Self, RefreshQueue) {
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
    pub(crate) async fn find(&self, id: CustomerId) -> Lookup {
        let Some(entry) = self.cache.get(id).await else {
            // Boxed: the future is large, and most customers are cached.
            return Box::pin(self.find_uncached(id)).await;
        };
        metrics::found_in_cache();
        if entry.claim_refresh(Instant::now()) && self.refreshes.try_send(id).is_err() {
            entry.cancel_refresh();
        }
        Lookup::Known(entry.customer.clone())
    }

    /// Looks up a customer that is not among the cached known ones.
    async fn find_uncached(&self, id: CustomerId) -> Lookup {
        let arrived = Instant::now();
        if self.cache.is_unknown(id, arrived).await {
            metrics::looked_up("cached_unknown");
            return Lookup::Unknown;
        }
        // No request waits for a call permit while the circuit is open.
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

    /// Joins calls until one is recent enough. That takes two at most: the second one begins after
    /// the request arrived.
    async fn find_recent(&self, id: CustomerId, arrived: Instant) -> Lookup {
        loop {
            let outcome = self.join_call(id, Purpose::Request).await;
            if !outcome.is_outdated(arrived) {
                return outcome.lookup;
            }
        }
    }

    /// Refreshes a cached customer. Returns whether there was an answer; if there was none, the
    /// next request may claim the refresh.
    pub(super) async fn refresh(&self, id: CustomerId) -> bool {
        match self.join_call(id, Purpose::Refresh).await.lookup {
            Lookup::Known(_) | Lookup::Unknown => true,
            Lookup::Overloaded(reason) | Lookup::Unavailable(reason) => {
                tracing::debug!(reason, "refreshing a cached customer failed");
                if let Some(entry) = self.cache.get(id).await {
                    entry.cancel_refresh();
                }
                false
            }
        }
    }

    /// Waits for the call for `id`, starting it if there is none. Dropping the future does not
    /// cancel the call.
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
        call.await.unwrap_or_else(|| now(Lookup::Unavailable("the call was aborted".to_owned())))
    }

    /// Makes a call and counts it, however many wait for it.
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
            // Another call may have ended since the request looked into the cache.
            if let Some(entry) = self.cache.get(id).await {
                return (now(Lookup::Known(entry.customer.clone())), "cached");
            }
            if self.cache.is_unknown(id, Instant::now()).await {
                return (now(Lookup::Unknown), "cached_unknown");
            }
        }
        let mark = self.responses.mark();
        let permit = timeout(self.client.limit(), self.call_permits.acquire()).await;
        // The semaphore is never closed, so only the timeout can fail.
        let Ok(Ok(_permit)) = permit else {
            return timed_out(self.blame_for_timeout(mark));
        };
        // Only now: the circuit may have opened meanwhile, and a probe must not wait.
        let Some(permit) = self.breaker.try_acquire(Instant::now()) else {
            return (now(circuit_open()), "left_alone");
        };
        let (asked, mark) = (Instant::now(), self.responses.mark());
        match self.client.find(id, call).await {
            Ok(answer) => {
                self.responses.record();
                permit.succeeded();
                if let Some(customer) = answer {
                    self.cache.put(id, customer.clone()).await;
                    (TimedLookup { lookup: Lookup::Known(customer), asked }, "known")
                } else {
                    self.cache.put_unknown(id, asked).await;
                    (TimedLookup { lookup: Lookup::Unknown, asked }, "unknown")
                }
            }
            // The service answers other calls: the overload is ours, not its failure.
            Err(CallError::TimedOut) if self.responses.any_since(mark) => {
                timed_out(self.blame_for_timeout(mark))
            }
            Err(failure) => {
                permit.failed(Instant::now());
                (now(Lookup::Unavailable(failure.to_string())), "unavailable")
            }
        }
    }

    /// The result of a request or call that began at `mark` and timed out: the service counts as
    /// overloaded if it has answered others since, else as unavailable.
    fn blame_for_timeout(&self, mark: Mark) -> Lookup {
        if self.responses.any_since(mark) {
            return Lookup::Overloaded("it answered others in this time".to_owned());
        }
        Lookup::Unavailable(CallError::TimedOut.to_string())
    }
}

fn circuit_open() -> Lookup {
    Lookup::Unavailable("its circuit is open, as it has not answered lately".to_owned())
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
