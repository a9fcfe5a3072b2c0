//! Looking a customer up: first in the cache, then, unless the circuit is open, at the customer service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::metrics::Counter;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::timeout;

use super::answers::{Answers, Mark};
use super::breaker::Breaker;
use super::cache::Cache;
use super::call::Call;
use super::client::{Answer, Client, Failure};
use super::outcome::{Lookup, Outcome};
use super::shared_calls::{Joined, SharedCall, SharedCalls};
use crate::domain::CustomerId;
use crate::metrics;

/// Calls under way at the most; each may hold a connection until its time limit. More would not be answered sooner: a service that
/// needs 20 ms for a call answers 1,600 a second, and a slower one must not be given more than it answers within the time limit.
const UNDER_WAY: usize = 32;

/// Customers at the most for whom a call is under way or waits for its turn.
const CUSTOMERS: usize = 1024;

/// Requests at the most that wait for these calls.
const CALLERS: usize = 4096;

/// Customers at the most who wait to be asked for again.
const RENEWALS: usize = 64;

/// How much later a request gives up than the call that began with it, which knows more of the reason.
const LATER: Duration = Duration::from_millis(20);

/// How customers are looked up. Clones share cache, circuit and calls.
#[derive(Debug, Clone)]
pub struct Lookups {
    client: Client,
    cache: Cache,
    breaker: Breaker,
    answers: Answers,
    calls: SharedCalls,
    under_way: Arc<Semaphore>,
    callers: Arc<Semaphore>,
    renewals: Sender<CustomerId>,
    /// Found in the cache. Kept: finding it by its labels takes longer than counting.
    cached: Counter,
}

/// Known customers who are to be asked for again before they are forgotten.
#[derive(Debug)]
pub struct Renewals(pub(super) Receiver<CustomerId>);

/// Who wants a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A request, which is content with what another call found meanwhile.
    Request,
    /// A renewal of what is in the cache.
    Renewal,
}

/// Look-ups that ask `client`, and believe what it said for `time_to_live`; and what they want to have renewed.
#[must_use]
pub fn lookups(client: Client, time_to_live: Duration) -> (Lookups, Renewals) {
    let (renewals, due) = mpsc::channel(RENEWALS);
    let lookups = Lookups {
        client,
        cache: Cache::new(time_to_live),
        breaker: Breaker::new(),
        answers: Answers::default(),
        calls: SharedCalls::new(CUSTOMERS),
        under_way: Arc::new(Semaphore::new(UNDER_WAY)),
        callers: Arc::new(Semaphore::new(CALLERS)),
        renewals,
        cached: metrics::lookups("cached"),
    };
    (lookups, Renewals(due))
}

impl Lookups {
    /// Looks a customer up, within the client's time limit.
    pub async fn find(&self, id: CustomerId) -> Lookup {
        let Some(entry) = self.cache.get(id).await else {
            // In a box: it is large, and most customers are known.
            return Box::pin(self.find_anew(id)).await;
        };
        self.cached.increment(1);
        if entry.is_due(Instant::now()) && self.renewals.try_send(id).is_err() {
            entry.leave();
        }
        Lookup::Known(entry.customer.clone())
    }

    /// Looks up a customer who is not known.
    async fn find_anew(&self, id: CustomerId) -> Lookup {
        let arrived = Instant::now();
        if self.cache.is_unknown(id, arrived).await {
            metrics::looked_up("cached_unknown");
            return Lookup::Unknown;
        }
        // Nobody waits for a turn while the service is left alone.
        if self.breaker.is_open(arrived) {
            metrics::looked_up("left_alone");
            return left_alone();
        }
        let Ok(_caller) = self.callers.try_acquire() else {
            metrics::looked_up("crowded");
            return Lookup::Crowded(format!("{CALLERS} requests wait for it already"));
        };
        let mark = self.answers.mark();
        let answer = timeout(self.client.limit() + LATER, self.wait(id, arrived)).await;
        answer.unwrap_or_else(|_| {
            let (outcome, result) = by_time(self.unanswered(mark));
            metrics::looked_up(result);
            outcome.lookup
        })
    }

    /// The outcome of a call that is recent enough. It takes two calls at the most: the second one begins after the first has ended.
    async fn wait(&self, id: CustomerId, arrived: Instant) -> Lookup {
        loop {
            let outcome = self.join(id, Purpose::Request).await;
            if !outcome.is_outdated(arrived) {
                return outcome.lookup;
            }
        }
    }

    /// Asks for a known customer again. Returns whether there was an answer; without one, the next request may leave a note again.
    pub(super) async fn renew(&self, id: CustomerId) -> bool {
        match self.join(id, Purpose::Renewal).await.lookup {
            Lookup::Known(_) | Lookup::Unknown => true,
            Lookup::Crowded(reason) | Lookup::Unavailable(reason) => {
                tracing::debug!(reason, "a known customer could not be asked for again");
                if let Some(entry) = self.cache.get(id).await {
                    entry.leave();
                }
                false
            }
        }
    }

    /// Waits for the call for `id`, which goes on when nobody waits for it any more.
    async fn join(&self, id: CustomerId, purpose: Purpose) -> Outcome {
        let begin = || {
            let (lookups, call) = (self.clone(), self.client.begin());
            async move { lookups.call(id, purpose, call).await }
        };
        let call: SharedCall = match self.calls.join(id, begin) {
            Joined::New(call) => call,
            Joined::Existing(call) => {
                metrics::looked_up("shared");
                call
            }
            Joined::Full => {
                metrics::looked_up("crowded");
                let reason = format!("{CUSTOMERS} customers are being looked up already");
                return now(Lookup::Crowded(reason));
            }
        };
        call.await.unwrap_or_else(|| now(Lookup::Unavailable("the call was broken off".to_owned())))
    }

    /// A call from its beginning to its end, which is counted whoever waits for it.
    async fn call(self, id: CustomerId, purpose: Purpose, call: Call) -> Outcome {
        let (outcome, result) = self.ask(id, purpose, &call).await;
        if let Lookup::Crowded(reason) | Lookup::Unavailable(reason) = &outcome.lookup {
            call.failed(reason);
        }
        metrics::looked_up(result);
        outcome
    }

    async fn ask(&self, id: CustomerId, purpose: Purpose, call: &Call) -> (Outcome, &'static str) {
        if purpose == Purpose::Request {
            // Another call may have ended after its caller had looked into the cache.
            if let Some(entry) = self.cache.get(id).await {
                return (now(Lookup::Known(entry.customer.clone())), "cached");
            }
            if self.cache.is_unknown(id, Instant::now()).await {
                return (now(Lookup::Unknown), "cached_unknown");
            }
        }
        let mark = self.answers.mark();
        let turn = timeout(self.client.limit(), self.under_way.acquire()).await;
        // The semaphore is never closed, so that only the time can have run out.
        let Ok(Ok(_turn)) = turn else {
            return by_time(self.unanswered(mark));
        };
        // Asked for leave only now: the circuit may have opened meanwhile, and a probe must not wait.
        let Some(permit) = self.breaker.enter(Instant::now()) else {
            return (now(left_alone()), "left_alone");
        };
        let (asked, mark) = (Instant::now(), self.answers.mark());
        match self.client.find(id, call).await {
            Ok(answer) => {
                self.answers.record();
                permit.succeeded();
                match answer {
                    Answer::Known(customer) => {
                        self.cache.put(id, customer.clone()).await;
                        (Outcome { lookup: Lookup::Known(customer), asked }, "known")
                    }
                    Answer::Unknown => {
                        self.cache.put_unknown(id, asked).await;
                        (Outcome { lookup: Lookup::Unknown, asked }, "unknown")
                    }
                }
            }
            // The service answers others: a crowd is our doing, not its failure.
            Err(Failure::TimedOut) if self.answers.any_since(mark) => {
                by_time(self.unanswered(mark))
            }
            Err(failure) => {
                permit.failed(Instant::now());
                (now(Lookup::Unavailable(failure.to_string())), "unavailable")
            }
        }
    }

    /// What is told to a request or a call whose time has run out and that began at `mark`.
    fn unanswered(&self, mark: Mark) -> Lookup {
        if self.answers.any_since(mark) {
            return Lookup::Crowded("it answered others in this time".to_owned());
        }
        Lookup::Unavailable(Failure::TimedOut.to_string())
    }
}

fn left_alone() -> Lookup {
    Lookup::Unavailable("it has not answered lately".to_owned())
}

fn now(lookup: Lookup) -> Outcome {
    Outcome { lookup, asked: Instant::now() }
}

fn by_time(lookup: Lookup) -> (Outcome, &'static str) {
    let result = if matches!(lookup, Lookup::Crowded(_)) { "crowded" } else { "unavailable" };
    (now(lookup), result)
}

#[cfg(test)]
mod tests;
