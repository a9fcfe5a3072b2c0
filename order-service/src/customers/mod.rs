//! Lookups at the customer service: bounded in time, cached, and behind a circuit breaker.
//!
//! | module | what it does |
//! |---|---|
//! | [`check`](CustomerCheck) | decides whether an order of a customer may be accepted |
//! | [`directory`](CustomerDirectory) | looks a customer up: in the cache, else by a call |
//! | [`lookup`](Lookup) | the result of looking a customer up |
//! | `shared_calls` | one call per customer, in a task of its own |
//! | `cache`, `refresh` | known and unknown customers; refreshes known ones before they expire |
//! | `breaker` | the circuit breaker |
//! | `response_count` | whether the service answered anybody meanwhile |
//! | [`client`](Client), `not_found`, `call_span` | the HTTP call, what its 404 means, its span |
//! | [`base_url`](BaseUrl) | where the customer service is |

mod base_url;
mod breaker;
mod cache;
mod call_span;
mod check;
mod client;
mod directory;
mod lookup;
mod not_found;
mod refresh;
mod response_count;
mod shared_calls;

pub(crate) use base_url::BaseUrl;
pub(crate) use check::{CheckError, CheckMode, Checked, CustomerCheck};
pub(crate) use client::{Client, health_check};
pub(crate) use directory::CustomerDirectory;
pub(crate) use lookup::Lookup;
pub(crate) use refresh::refresh;

/// A customer as the customer service describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Customer {
    /// The name.
    pub(crate) name: String,
    /// The address.
    pub(crate) address: String,
}
