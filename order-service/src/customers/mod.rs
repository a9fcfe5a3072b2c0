//! The customer service as seen from here: asked in bounded time, remembered for a while, left alone while it is down.

mod breaker;
mod cache;
mod call;
mod check;
mod client;
mod lookup;
mod renew;
mod watch;

pub use check::{Check, CheckMode};
pub use client::{BaseUrl, Client};
pub use lookup::{Lookup, Lookups, Renewals, lookups};
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
