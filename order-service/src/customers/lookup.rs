//! Looking a customer up: first in the cache, then, unless the circuit is open, at the customer service.

use std::time::{Duration, Instant};

use super::Customer;
use super::breaker::Breaker;
use super::cache::Cache;
use super::client::{Answer, Client};
use crate::domain::CustomerId;

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
}

impl Lookups {
    /// Asks `client`, and believes what it said for `time_to_live`.
    #[must_use]
    pub fn new(client: Client, time_to_live: Duration) -> Self {
        Self { client, cache: Cache::new(time_to_live), breaker: Breaker::new() }
    }

    /// Looks a customer up, within the client's time limit.
    pub async fn find(&self, id: CustomerId) -> Lookup {
        let (lookup, result) = self.ask(id).await;
        metrics::counter!("customer_lookups_total", "result" => result).increment(1);
        lookup
    }

    async fn ask(&self, id: CustomerId) -> (Lookup, &'static str) {
        if let Some(customer) = self.cache.get(id).await {
            return (Lookup::Known(customer), "cached");
        }
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
