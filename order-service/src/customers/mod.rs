//! The customer service as seen from here: asked in bounded time, remembered for a while, left alone while it is down.
//!
//! | module | what it does |
//! |---|---|
//! | [`check`](Check) | whether an order of a customer may be accepted |
//! | [`lookup`](Lookups) | finds a customer: in the cache, else by a call |
//! | `shared_calls` | one call per customer, in a task of its own |
//! | `cache`, `renew` | what was found lately; asked for again before it is forgotten |
//! | `answers`, `breaker` | whether the service is well; leaves it alone while it is not |
//! | [`client`](Client), `not_found`, `call` | the HTTP call, what its 404 means, its part in the trace |
//! | `watch` | whether the service is there, for `/readyz` |

mod answers;
mod base_url;
mod breaker;
mod cache;
mod call;
mod check;
mod client;
mod lookup;
mod not_found;
mod outcome;
mod renew;
mod shared_calls;
mod watch;

pub use base_url::BaseUrl;
pub use check::{Check, CheckMode, Checked};
pub use client::Client;
pub use lookup::{Lookups, Renewals, lookups};
pub use outcome::Lookup;
pub(crate) use renew::renew;
pub(crate) use watch::watch;

/// What the customer service tells of a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// The name.
    pub name: String,
    /// The address.
    pub address: String,
}
