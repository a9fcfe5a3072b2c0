//! The customers that were found lately, and those who were not a moment ago.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use moka::future::Cache as Moka;

use super::Customer;
use super::outcome::UNKNOWN_TTL;
use crate::domain::CustomerId;

/// How many bytes the known customers may take.
const CAPACITY: u64 = 4 * 1024 * 1024;

/// How many unknown customers are remembered at the most. They have a cache of their own: made-up ids must not push out known customers.
const UNKNOWN_CAPACITY: u64 = 10_000;

/// What an entry costs on top of its strings.
const ENTRY: usize = 250;

/// Known customers by id, each for a short while; unknown ones for a moment, as they may be created at any time.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    entries: Moka<CustomerId, Arc<Entry>>,
    time_to_live: Duration,
    /// When the customer service was asked for those whom it does not know.
    unknown: Moka<CustomerId, Instant>,
}

/// A known customer.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) customer: Customer,
    refresh_at: Instant,
    refreshing: AtomicBool,
}

impl Entry {
    /// It is renewed some time between the half of its life and nine tenths, by chance: customers who were found at the same moment
    /// are not asked for again at the same moment.
    fn new(customer: Customer, now: Instant, time_to_live: Duration) -> Self {
        let refresh_at = now + time_to_live.mul_f64(rand::random_range(0.5..0.9));
        Self { customer, refresh_at, refreshing: AtomicBool::new(false) }
    }

    /// Whether it is time to ask for the customer again, which only one is told.
    pub(super) fn claim_refresh(&self, now: Instant) -> bool {
        now >= self.refresh_at && !self.refreshing.swap(true, Ordering::Relaxed)
    }

    /// Whoever was told can't ask: let somebody else.
    pub(super) fn cancel_refresh(&self) {
        self.refreshing.store(false, Ordering::Relaxed);
    }
}

impl Cache {
    /// Keeps what is put in for `time_to_live`.
    pub(super) fn new(time_to_live: Duration) -> Self {
        let entries = Moka::builder()
            .max_capacity(CAPACITY)
            .weigher(|_, entry: &Arc<Entry>| {
                let Customer { name, address } = &entry.customer;
                u32::try_from(ENTRY + name.len() + address.len()).unwrap_or(u32::MAX)
            })
            .time_to_live(time_to_live)
            .build();
        let unknown = Moka::builder()
            .max_capacity(UNKNOWN_CAPACITY)
            .time_to_live(UNKNOWN_TTL.min(time_to_live))
            .build();
        Self { entries, time_to_live, unknown }
    }

    pub(super) async fn get(&self, id: CustomerId) -> Option<Arc<Entry>> {
        self.entries.get(&id).await
    }

    pub(super) async fn put(&self, id: CustomerId, customer: Customer) {
        let entry = Entry::new(customer, Instant::now(), self.time_to_live);
        self.entries.insert(id, Arc::new(entry)).await;
        self.unknown.invalidate(&id).await;
    }

    /// Whether the customer service was asked for this customer a moment before `now`, and did not know it.
    pub(super) async fn is_unknown(&self, id: CustomerId, now: Instant) -> bool {
        let asked = self.unknown.get(&id).await;
        asked.is_some_and(|asked| now < asked + UNKNOWN_TTL.min(self.time_to_live))
    }

    /// The customer service, asked at `asked`, knows no such customer. The time counts from the question: a customer who was created while
    /// the answer was on its way is found no later than others.
    pub(super) async fn put_unknown(&self, id: CustomerId, asked: Instant) {
        self.entries.invalidate(&id).await;
        self.unknown.insert(id, asked).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_renewed_once_and_before_it_ends() {
        let (now, life) = (Instant::now(), Duration::from_secs(100));
        let seconds = |seconds| now + Duration::from_secs(seconds);
        let customer = Customer { name: "Juan".to_owned(), address: "Bogotá".to_owned() };
        let entry = || Entry::new(customer.clone(), now, life);
        let one = entry();
        assert!(!one.claim_refresh(seconds(49)));
        assert!(one.claim_refresh(seconds(90)));
        assert!(!one.claim_refresh(seconds(90)), "two ask");
        one.cancel_refresh();
        assert!(one.claim_refresh(seconds(90)), "nobody asks");

        let half = (0..1000).filter(|_| entry().claim_refresh(seconds(70))).count();
        assert!((300..700).contains(&half), "{half} of 1000 after the half of the span");
    }

    #[tokio::test]
    async fn an_unknown_customer_is_forgotten_two_seconds_after_the_question() {
        let (id, asked) = (CustomerId(uuid::Uuid::nil()), Instant::now());
        let cache = Cache::new(Duration::from_secs(30));
        cache.put_unknown(id, asked).await;
        let last = asked + Duration::from_secs(2) - Duration::from_nanos(1);
        assert!(cache.is_unknown(id, last).await);
        assert!(!cache.is_unknown(id, asked + Duration::from_secs(2)).await);

        let juan = Customer { name: "Juan".to_owned(), address: "Bogotá".to_owned() };
        cache.put(id, juan).await;
        assert!(!cache.is_unknown(id, asked).await, "known and unknown at once");
        cache.put_unknown(id, asked).await;
        assert!(cache.get(id).await.is_none(), "known and unknown at once");

        let forgetful = Cache::new(Duration::ZERO);
        forgetful.put_unknown(id, asked).await;
        assert!(!forgetful.is_unknown(id, asked).await, "remembered longer than known customers");
    }
}
