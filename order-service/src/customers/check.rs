//! The check that a new order's customer exists.

use clap::ValueEnum;
use service_kit::http::Problem;

use super::directory::CustomerDirectory;
use super::lookup::Lookup;
use crate::domain::CustomerId;

/// How strictly customers are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckMode {
    /// Refuse unknown customers; while the customer service does not answer, accept every order
    Prefer,
    /// Refuse unknown customers; while the customer service does not answer, refuse every order
    Require,
    /// Accept every order; the customer service is not asked
    Off,
}

/// Checks the customers of new orders.
#[derive(Debug, Clone)]
pub(crate) struct CustomerCheck {
    mode: CheckMode,
    directory: CustomerDirectory,
}

impl CustomerCheck {
    /// A check in this mode.
    #[must_use]
    pub(crate) const fn new(mode: CheckMode, directory: CustomerDirectory) -> Self {
        Self { mode, directory }
    }

    /// Checks whether an order of `customer` may be accepted.
    ///
    /// # Errors
    /// 422 if there is no such customer; 503 if the mode requires an answer and there is none.
    pub(crate) async fn check(&self, customer: CustomerId) -> Result<Checked, Problem> {
        if self.mode == CheckMode::Off {
            return Ok(Checked::Verified);
        }
        self.mode.decide(customer, self.directory.find(customer).await)
    }
}

/// How a customer passed the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// The customer is known, or customers are not checked.
    Verified,
    /// The customer could not be looked up.
    Unchecked,
}

impl CheckMode {
    /// Decides on an order whose customer was looked up.
    fn decide(self, customer: CustomerId, found: Lookup) -> Result<Checked, Problem> {
        const NOT_NOW: &str = "The customer can't be checked now; try again soon.";
        match (found, self) {
            (Lookup::Known(_), _) => Ok(Checked::Verified),
            (Lookup::Unknown, _) => Err(Problem::invalid(vec![format!(
                "order.customer_public_id {} is not a known customer",
                customer.0
            )])),
            (Lookup::Overloaded(reason), _) => Err(Problem::unavailable(
                NOT_NOW,
                format!("the customer service is overloaded: {reason}"),
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
    fn an_order_is_accepted_unchecked_only_while_the_service_is_unavailable() {
        let juan = Customer { name: "Juan".to_owned(), address: "Bogotá".to_owned() };
        let reason = || "for a test".to_owned();
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
