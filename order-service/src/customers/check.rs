//! The check that a new order's customer exists.

use clap::ValueEnum;

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
    /// If there is no such customer, or the mode requires an answer and there is none.
    pub(crate) async fn check(&self, customer: CustomerId) -> Result<Checked, CheckError> {
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

/// Why an order is refused because of its customer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CheckError {
    /// There is no such customer.
    #[error("the customer {} is unknown", .0.0)]
    Unknown(CustomerId),
    /// The customer service answers, but too many requests wait for it.
    #[error("the customer service is overloaded: {0}")]
    Overloaded(String),
    /// The customer service does not answer.
    #[error("the customer service does not answer: {0}")]
    Unavailable(String),
}

impl CheckMode {
    /// Decides on an order whose customer was looked up.
    fn decide(self, customer: CustomerId, found: Lookup) -> Result<Checked, CheckError> {
        match (found, self) {
            (Lookup::Known(_), _) => Ok(Checked::Verified),
            (Lookup::Unknown, _) => Err(CheckError::Unknown(customer)),
            (Lookup::Overloaded(reason), _) => Err(CheckError::Overloaded(reason)),
            (Lookup::Unavailable(reason), Self::Require) => Err(CheckError::Unavailable(reason)),
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
        use CheckError::{Overloaded, Unavailable, Unknown};
        let juan = Customer { name: "Juan".to_owned(), address: "Bogotá".to_owned() };
        let (id, reason) = (CustomerId(Uuid::nil()), || "for a test".to_owned());
        for (found, prefer, require) in [
            (Lookup::Known(juan), None, None),
            (Lookup::Unknown, Some(Unknown(id)), Some(Unknown(id))),
            (Lookup::Overloaded(reason()), Some(Overloaded(reason())), Some(Overloaded(reason()))),
            (Lookup::Unavailable(reason()), None, Some(Unavailable(reason()))),
        ] {
            let refused = |mode: CheckMode| mode.decide(id, found.clone()).err();
            assert_eq!(refused(CheckMode::Prefer), prefer, "{found:?}");
            assert_eq!(refused(CheckMode::Require), require, "{found:?}");
        }
    }
}
