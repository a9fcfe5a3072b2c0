//! Whether an order's customer must be known.

use clap::ValueEnum;
use service_kit::http::Problem;

use super::lookup::{Lookup, Lookups};
use crate::domain::CustomerId;
use crate::metrics;

/// What an order's customer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckMode {
    /// Known; while the customer service does not answer, anybody's order is accepted
    Prefer,
    /// Known; while the customer service does not answer, no order is accepted
    Require,
    /// Anybody; the customer service is not asked
    Off,
}

/// The check that a new order has to pass.
#[derive(Debug, Clone)]
pub struct Check {
    mode: CheckMode,
    lookups: Lookups,
}

impl Check {
    /// Checks as `mode` says.
    #[must_use]
    pub const fn new(mode: CheckMode, lookups: Lookups) -> Self {
        Self { mode, lookups }
    }

    /// Whether an order of `customer` may be accepted.
    ///
    /// # Errors
    /// 422 when there is no such customer; 503 when that can't be told and must be.
    pub async fn pass(&self, customer: CustomerId) -> Result<(), Problem> {
        if self.mode == CheckMode::Off {
            return Ok(());
        }
        match (self.lookups.find(customer).await, self.mode) {
            (Lookup::Known(_), _) => Ok(()),
            (Lookup::Unknown, _) => Err(Problem::invalid(vec![format!(
                "order.customer_public_id {} is no customer's",
                customer.0
            )])),
            (Lookup::Unavailable(reason), CheckMode::Require) => Err(Problem::unavailable(
                "The customer can't be checked now; try again soon.",
                format!("the customer service does not answer: {reason}"),
            )),
            (Lookup::Unavailable(reason), CheckMode::Prefer | CheckMode::Off) => {
                tracing::debug!(reason, "accepting an order whose customer could not be checked");
                metrics::unchecked();
                Ok(())
            }
        }
    }
}
