//! Looking a customer up: first in the cache, then, unless the circuit is open, at the customer service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::Customer;
use super::breaker::Breaker;
use super::cache::Cache;
use super::client::{Answer, Client};
use crate::domain::CustomerId;
use crate::metrics;

/// Calls at once at the most; each may hold a connection until its time limit.
const CALLS: usize = 64;

/// What is known about a customer now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// There is one.
    Known(Customer),
    /// There is none.
    Unknown,
    /// The customer service does not answer; the reason is for the log.
    Unavailable(String),
}

/// How customers are looked up. Clones share cache and circuit.
#[derive(Debug, Clone)]
pub struct Lookups {
    client: Client,
    cache: Cache,
    breaker: Breaker,
    places: Arc<Semaphore>,
}

impl Lookups {
    /// Asks `client`, and believes what it said for `time_to_live`.
    #[must_use]
    pub fn new(client: Client, time_to_live: Duration) -> Self {
        Self {
            client,
            cache: Cache::new(time_to_live),
            breaker: Breaker::new(),
            places: Arc::new(Semaphore::new(CALLS)),
        }
    }

    /// Looks a customer up, within the client's time limit.
    pub async fn find(&self, id: CustomerId) -> Lookup {
        let (lookup, result) = self.ask(id).await;
        metrics::looked_up(result);
        lookup
    }

    async fn ask(&self, id: CustomerId) -> (Lookup, &'static str) {
        if let Some(customer) = self.cache.get(id).await {
            return (Lookup::Known(customer), "cached");
        }
        // Taken before the breaker is asked: a crowd is our doing, not a failure of the customer service.
        let Ok(_place) = self.places.try_acquire() else {
            let reason = format!("{CALLS} calls are waiting for it already");
            return (Lookup::Unavailable(reason), "crowded");
        };
        let Some(permit) = self.breaker.enter(Instant::now()) else {
            let reason = "it has not answered lately".to_owned();
            return (Lookup::Unavailable(reason), "left_alone");
        };
        match self.client.find(id).await {
            Ok(answer) => {
                permit.succeeded();
                match answer {
                    Answer::Known(customer) => {
                        self.cache.put(id, customer.clone()).await;
                        (Lookup::Known(customer), "known")
                    }
                    Answer::Unknown => (Lookup::Unknown, "unknown"),
                }
            }
            Err(reason) => {
                permit.failed(Instant::now());
                (Lookup::Unavailable(reason), "unavailable")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn more_calls_than_there_are_places_end_at_once_and_are_no_failures() {
        service_kit::telemetry::install_tls();
        // It takes connections and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", silent.local_addr().expect("an address"));
        let long = Duration::from_secs(600);
        let client = Client::new(url.parse().expect("a good URL"), long, long).expect("a client");
        let lookups = Lookups::new(client, Duration::ZERO);
        let find = |lookups: Lookups| async move { lookups.find(CustomerId(Uuid::nil())).await };
        let calls: Vec<_> = (0..CALLS).map(|_| tokio::spawn(find(lookups.clone()))).collect();
        while lookups.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }

        for _ in 0..20 {
            let ended =
                tokio::time::timeout(Duration::from_secs(60), lookups.ask(CustomerId(Uuid::nil())));
            assert_eq!(ended.await.expect("at once").1, "crowded");
        }
        let permit = lookups.breaker.enter(Instant::now());
        assert!(permit.is_some(), "the circuit opened because of a crowd");

        calls.iter().for_each(tokio::task::JoinHandle::abort);
        while lookups.places.available_permits() < CALLS {
            tokio::task::yield_now().await;
        }
    }
}
