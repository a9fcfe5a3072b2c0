//! The exchanges that the relay publishes to.

use amq_protocol::types::ShortString;

use crate::config::{Name, RelayArgs};
use crate::publish::properties;

/// See the [module](self). A fixed list: whoever writes a row must not choose where the relay's user
/// may write.
#[derive(Debug, Clone)]
pub(crate) struct Exchanges {
    /// `RELAY_EXCHANGE`.
    own: Name,
    /// `RELAY_EXCHANGES`.
    further: Vec<Name>,
}

impl Exchanges {
    pub(crate) fn new(args: &RelayArgs) -> Self {
        Self { own: args.relay_exchange.clone(), further: args.further_exchanges().to_vec() }
    }

    /// The relay's own exchange.
    pub(crate) fn own(&self) -> &str {
        self.own.as_str()
    }

    /// Looks up the exchange that a row names. Returns `None` if it is the relay's own.
    ///
    /// # Errors
    /// The reason, if the relay may not publish to it.
    pub(crate) fn find(&self, named: Option<ShortString>) -> Result<Option<ShortString>, String> {
        let Some(named) = named else {
            return Ok(None);
        };
        if named.as_str() == self.own() {
            return Ok(None);
        }
        if self.further.iter().any(|further| further.as_str() == named.as_str()) {
            return Ok(Some(named));
        }
        let further = self.further.iter().map(|name| format!(" or {}", name.as_str()));
        let allowed = format!("{}{} (RELAY_EXCHANGES)", self.own(), further.collect::<String>());
        Err(properties::not_allowed(&named, &allowed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchanges(further: &[&str]) -> Exchanges {
        let name = |name: &&str| name.parse().expect("a name");
        Exchanges { own: name(&"orders.events"), further: further.iter().map(name).collect() }
    }

    #[test]
    fn a_listed_one_and_the_relays_own_may_be_named() {
        let exchanges = exchanges(&["billing", "audit"]);
        assert_eq!(exchanges.find(None), Ok(None));
        assert_eq!(exchanges.find(Some("orders.events".into())), Ok(None));
        assert_eq!(exchanges.find(Some("audit".into())), Ok(Some("audit".into())));
    }

    #[test]
    fn any_other_is_refused() {
        for named in ["", "Billing", "billing ", "amq.topic", "order.events"] {
            let expected = format!(
                "the header \"amqp-exchange\" is \"{named}\", but must be orders.events or billing (RELAY_EXCHANGES)"
            );
            assert_eq!(exchanges(&["billing"]).find(Some(named.into())), Err(expected));
        }
        let none = exchanges(&[]).find(Some("billing".into())).expect_err("none is listed");
        assert!(none.ends_with("but must be orders.events (RELAY_EXCHANGES)"), "{none}");
    }
}
