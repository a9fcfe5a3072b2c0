//! A cache of known and of unknown customers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use moka::future::Cache as Moka;

use super::Customer;
use super::lookup::UNKNOWN_TTL;
use crate::domain::CustomerId;

/// Bytes that the known customers may take.
const CAPACITY: u64 = 4 * 1024 * 1024;

/// The most unknown customers that are remembered. They have a cache of their own, so that made-up
/// ids can't evict known customers.
const UNKNOWN_CAPACITY: u64 = 10_000;

/// Bytes that an entry takes besides its strings.
const ENTRY_OVERHEAD: usize = 250;

/// Known customers for the cache's time to live; unknown ones for [`UNKNOWN_TTL`] at most, since
/// they may be created at any time.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    entries: Moka<CustomerId, Arc<Entry>>,
    time_to_live: Duration,
    /// When the customer service was asked about each unknown customer.
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
    /// Refreshes are due at a random time between 50% and 90% of the time to live, so that
    /// customers cached together are not refreshed together.
    fn new(customer: Customer, now: Instant, time_to_live: Duration) -> Self {
        let refresh_at = now + time_to_live.mul_f64(rand::random_range(0.5..0.9));
        Self { customer, refresh_at, refreshing: AtomicBool::new(false) }
    }

    /// Returns true to one caller once a refresh is due.
    pub(super) fn claim_refresh(&self, now: Instant) -> bool {
        now >= self.refresh_at && !self.refreshing.swap(true, Ordering::Relaxed)
    }

    /// Undoes [`claim_refresh`](Self::claim_refresh): the refresh failed or could not be queued,
    /// and the next request may claim it.
    pub(super) fn cancel_refresh(&self) {
        self.refreshing.store(false, Ordering::Relaxed);
    }
}

impl Cache {
    /// A cache whose entries expire after `time_to_live`.
    pub(super) fn new(time_to_live: Duration) -> Self {
        let entries = Moka::builder()
            .max_capacity(CAPACITY)
            .weigher(|_, entry: &Arc<Entry>| {
                let Customer { name, address } = &entry.customer;
                u32::try_from(ENTRY_OVERHEAD + name.len() + address.len()).unwrap_or(u32::MAX)
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

    /// Returns whether the customer service said shortly before `now` that there is no such
    /// customer.
    pub(super) async fn is_unknown(&self, id: CustomerId, now: Instant) -> bool {
        let asked = self.unknown.get(&id).await;
        asked.is_some_and(|asked| now < asked + UNKNOWN_TTL.min(self.time_to_live))
    }

    /// Notes that the customer service, asked at `asked`, knows no such customer. The entry's age
    /// counts from the question, since the customer may have been created while the answer was on
    /// its way.
    pub(super) async fn put_unknown(&self, id: CustomerId, asked: Instant) {
        self.entries.invalidate(&id).await;
        self.unknown.insert(id, asked).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_refreshed_once_and_before_it_expires() {
        let (now, life) = (Instant::now(), Duration::from_secs(100));
        let seconds = |seconds| now + Duration::from_secs(seconds);
        let customer = Customer { name: "Juan".to_owned(), address: "Bogotá".to_owned() };
        let entry = || Entry::new(customer.clone(), now, life);
        let one = entry();
        assert!(!one.claim_refresh(seconds(49)));
        assert!(one.claim_refresh(seconds(90)));
        assert!(!one.claim_refresh(seconds(90)), "two refreshes");
        one.cancel_refresh();
        assert!(one.claim_refresh(seconds(90)), "no refresh");

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
