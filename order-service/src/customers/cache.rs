//! The customers that were found lately.

use std::time::Duration;

use moka::future::Cache as Moka;

use super::Customer;
use crate::domain::CustomerId;

/// How many bytes the cache may hold.
const CAPACITY: u64 = 4 * 1024 * 1024;

/// What an entry costs on top of its strings.
const ENTRY: usize = 200;

/// Known customers by id, each for a short while. Unknown ones are not kept: they may be created any moment.
#[derive(Debug, Clone)]
pub(super) struct Cache(Moka<CustomerId, Customer>);

impl Cache {
    /// Keeps what is put in for `time_to_live`.
    pub(super) fn new(time_to_live: Duration) -> Self {
        let cache = Moka::builder()
            .max_capacity(CAPACITY)
            .weigher(|_, customer: &Customer| {
                let bytes = ENTRY + customer.name.len() + customer.address.len();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .time_to_live(time_to_live)
            .build();
        Self(cache)
    }

    pub(super) async fn get(&self, id: CustomerId) -> Option<Customer> {
        self.0.get(&id).await
    }

    pub(super) async fn put(&self, id: CustomerId, customer: Customer) {
        self.0.insert(id, customer).await;
    }
}
