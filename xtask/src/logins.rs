//! The services' logins.

use serde::{Deserialize, Serialize};

/// The databases' URLs for the services. For an external database it is the given URL, as its roles
/// are up to its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logins {
    pub(crate) order_service: String,
    pub(crate) outbox_relay: String,
    pub(crate) customer_api: String,
    pub(crate) customer_consumer: String,
    #[serde(default)]
    pub(crate) dead_letters_collector: String,
    /// The console's, for the outbox and for the desk. Both are roles that may do nothing before
    /// they take another, or both are owners.
    #[serde(default)]
    pub(crate) outbox_console: String,
    #[serde(default)]
    pub(crate) dead_letters_console: String,
}

impl Logins {
    /// All services as the owners, `orders` and `customers`.
    pub(crate) fn of_owners(orders: &str, customers: &str) -> Self {
        Self {
            order_service: orders.to_owned(),
            outbox_relay: orders.to_owned(),
            customer_api: customers.to_owned(),
            customer_consumer: customers.to_owned(),
            dead_letters_collector: customers.to_owned(),
            outbox_console: orders.to_owned(),
            dead_letters_console: customers.to_owned(),
        }
    }
}
