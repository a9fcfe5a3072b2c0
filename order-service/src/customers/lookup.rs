//! Looking a customer up: first in the cache, then, unless the circuit is open, at the customer service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::Customer;
use super::breaker::Breaker;
use super::cache::Cache;
use super::client::{Answer, Client};
use crate::domain::CustomerId;
use crate::metrics;

/// Calls at once at the most; each may hold a connection until its time limit.
const CALLS: usize = 64;

/// Customers at the most who wait to be asked for again.
const RENEWALS: usize = 64;

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
    renewals: Sender<CustomerId>,
}

/// Known customers who are to be asked for again before they are forgotten.
#[derive(Debug)]
pub struct Renewals(pub(super) Receiver<CustomerId>);

/// Look-ups that ask `client`, and believe what it said for `time_to_live`; and what they want to have renewed.
#[must_use]
pub fn lookups(client: Client, time_to_live: Duration) -> (Lookups, Renewals) {
    let (renewals, due) = mpsc::channel(RENEWALS);
    let lookups = Lookups {
        client,
        cache: Cache::new(time_to_live),
        breaker: Breaker::new(),
        places: Arc::new(Semaphore::new(CALLS)),
        renewals,
    };
    (lookups, Renewals(due))
}

impl Lookups {
    /// Looks a customer up, within the client's time limit.
    pub async fn find(&self, id: CustomerId) -> Lookup {
        let Some(entry) = self.cache.get(id).await else {
            return self.find_anew(id).await;
        };
        metrics::looked_up("cached");
        if entry.is_due(Instant::now()) && self.renewals.try_send(id).is_err() {
            entry.leave();
        }
        Lookup::Known(entry.customer.clone())
    }

    /// Looks a customer up where the truth is.
    async fn find_anew(&self, id: CustomerId) -> Lookup {
        let (lookup, result) = self.ask(id).await;
        metrics::looked_up(result);
        lookup
    }

    /// Asks for a known customer again. Returns whether there was an answer; without one, the next request may leave a note again.
    pub(super) async fn renew(&self, id: CustomerId) -> bool {
        let Lookup::Unavailable(reason) = self.find_anew(id).await else {
            return true;
        };
        tracing::debug!(reason, "a known customer could not be asked for again");
        if let Some(entry) = self.cache.get(id).await {
            entry.leave();
        }
        false
    }

    async fn ask(&self, id: CustomerId) -> (Lookup, &'static str) {
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
                    Answer::Unknown => {
                        self.cache.forget(id).await;
                        (Lookup::Unknown, "unknown")
                    }
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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
        let (lookups, _renewals) = lookups(client, Duration::ZERO);
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

    /// A customer service that answers one call like this, and who is known to those who look up there.
    async fn answering(answer: &'static [u8]) -> (Lookups, Customer, tokio::task::JoinHandle<()>) {
        service_kit::telemetry::install_tls();
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", server.local_addr().expect("an address"));
        let answered = tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.expect("a connection");
            let read = stream.read(&mut [0; 1024]).await.expect("a request");
            assert!(read > 0);
            stream.write_all(answer).await.expect("somebody listens");
        });
        let long = Duration::from_secs(600);
        let client = Client::new(url.parse().expect("a good URL"), long, long).expect("a client");
        let (lookups, _) = lookups(client, long);
        let juan = Customer { name: "Juan".to_owned(), address: "Bogotá".to_owned() };
        lookups.cache.put(JUAN, juan.clone()).await;
        (lookups, juan, answered)
    }

    const JUAN: CustomerId = CustomerId(Uuid::nil());

    #[tokio::test]
    async fn a_customer_who_could_not_be_asked_for_again_is_still_known_and_asked_for_later() {
        let (lookups, juan, answered) =
            answering(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").await;
        let entry = lookups.cache.get(JUAN).await.expect("known");
        let late = Instant::now() + Duration::from_secs(600);
        assert!(entry.is_due(late));
        assert!(!lookups.renew(JUAN).await);
        assert_eq!(lookups.find(JUAN).await, Lookup::Known(juan));
        assert!(entry.is_due(late), "nobody will ask");
        answered.await.expect("one answer");
    }

    #[tokio::test]
    async fn a_customer_who_is_gone_when_asked_for_again_is_forgotten_at_once() {
        let (lookups, juan, answered) =
            answering(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(lookups.find(JUAN).await, Lookup::Known(juan));
        assert!(lookups.renew(JUAN).await);
        assert!(lookups.cache.get(JUAN).await.is_none());
        answered.await.expect("one answer");
    }
}
