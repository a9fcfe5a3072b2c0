//! The exchange that the relay publishes to.

use amq_protocol::types::ShortString;

use crate::config::RelayArgs;
use service_kit::amqp::{Channel, Connection, Failure, Goodbye};

/// Why a broker refuses (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
const ACCESS_REFUSED: u16 = 403;
pub(crate) const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;

/// The exchange, and whether the relay makes it.
#[derive(Debug, Clone)]
pub(crate) struct Topology {
    pub(crate) exchange: ShortString,
    declare: bool,
}

impl Topology {
    pub(crate) fn new(args: &RelayArgs) -> Self {
        Self { exchange: args.relay_exchange.short(), declare: args.relay_declare }
    }

    /// Declares the exchange, or checks that it exists.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it and what to do.
    pub(crate) async fn ensure(&self, connection: &Connection) -> anyhow::Result<()> {
        // A channel of its own: the broker closes it when it refuses.
        let channel = Channel::open(connection).await.map_err(|failure| self.explain(&failure))?;
        let declared =
            channel.declare_exchange(self.exchange.clone(), "topic", !self.declare).await;
        declared.map_err(|failure| self.explain(&failure))?;
        channel.close().await.map_err(|failure| self.explain(&failure))
    }

    fn explain(&self, failure: &Failure) -> anyhow::Error {
        let exchange = self.exchange.as_str();
        let Failure::Refused(Goodbye { code, said }) = failure else {
            return failure.clone().into();
        };
        anyhow::anyhow!(match *code {
            PRECONDITION_FAILED => format!(
                "the exchange {exchange} exists, but not as a durable topic exchange ({said}): delete it, name another \
                 one in RELAY_EXCHANGE, or use it as it is with RELAY_DECLARE=false"
            ),
            NOT_FOUND => format!(
                "the exchange {exchange} does not exist ({said}): declare it, or let the relay do so with \
                 RELAY_DECLARE=true"
            ),
            ACCESS_REFUSED => format!(
                "the relay may not declare the exchange {exchange} ({said}): grant its user the configure permission, \
                 or declare the exchange and set RELAY_DECLARE=false"
            ),
            _ => format!("the exchange {exchange} is refused: {said}"),
        })
    }
}
