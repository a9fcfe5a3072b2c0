//! Whether an order's customer must be known.

use clap::ValueEnum;
use service_kit::http::Problem;

use super::directory::CustomerDirectory;
use super::outcome::Lookup;
use crate::domain::CustomerId;

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
pub struct CustomerCheck {
    mode: CheckMode,
    directory: CustomerDirectory,
}

impl CustomerCheck {
    /// Checks as `mode` says.
    #[must_use]
    pub const fn new(mode: CheckMode, directory: CustomerDirectory) -> Self {
        Self { mode, directory }
    }

    /// Whether an order of `customer` may be accepted.
    ///
    /// # Errors
    /// 422 when there is no such customer; 503 when that can't be told and must be.
    pub async fn check(&self, customer: CustomerId) -> Result<Checked, Problem> {
        if self.mode == CheckMode::Off {
            return Ok(Checked::Verified);
        }
        self.mode.decide(customer, self.directory.find(customer).await)
    }
}

/// How an order passed the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Its customer is known, or needs not be.
    Verified,
    /// Its customer could not be looked up, and anybody's order is accepted then.
    Unchecked,
}

impl CheckMode {
    /// What becomes of an order whose customer was looked up.
    fn decide(self, customer: CustomerId, found: Lookup) -> Result<Checked, Problem> {
        const NOT_NOW: &str = "The customer can't be checked now; try again soon.";
        match (found, self) {
            (Lookup::Known(_), _) => Ok(Checked::Verified),
            (Lookup::Unknown, _) => Err(Problem::invalid(vec![format!(
                "order.customer_public_id {} is no customer's",
                customer.0
            )])),
            (Lookup::Overloaded(reason), _) => Err(Problem::unavailable(
                NOT_NOW,
                format!("too many wait for the customer service: {reason}"),
            )),
            (Lookup::Unavailable(reason), Self::Require) => Err(Problem::unavailable(
                NOT_NOW,
                format!("the customer service does not answer: {reason}"),
            )),
            (Lookup::Unavailable(reason), Self::Prefer | Self::Off) => {
                tracing::debug!(reason, "accepting an order whose customer could not be checked");
                Ok(Checked::Unchecked)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::Customer;
    use super::*;

    #[test]
    fn only_the_service_being_away_makes_an_unchecked_order_good_enough() {
        let juan = Customer { name: "Juan".to_owned(), address: "Bogotá".to_owned() };
        let reason = || "a test wants it so".to_owned();
        for (found, prefer, require) in [
            (Lookup::Known(juan), None, None),
            (Lookup::Unknown, Some(422), Some(422)),
            (Lookup::Overloaded(reason()), Some(503), Some(503)),
            (Lookup::Unavailable(reason()), None, Some(503)),
        ] {
            let status = |mode: CheckMode| {
                let refused = mode.decide(CustomerId(Uuid::nil()), found.clone()).err();
                refused.map(|problem| problem.status().as_u16())
            };
            assert_eq!(status(CheckMode::Prefer), prefer, "{found:?}");
            assert_eq!(status(CheckMode::Require), require, "{found:?}");
        }
    }
}
