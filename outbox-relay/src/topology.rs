//! The exchange that the relay publishes to.

use lapin::options::ExchangeDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{FieldTable, ShortString};
use lapin::{Connection, ErrorKind, ExchangeKind};
use service_kit::broker::reason;

use crate::config::RelayArgs;

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
        let channel =
            connection.create_channel().await.map_err(|error| anyhow::anyhow!(reason(&error)))?;
        let options = ExchangeDeclareOptions {
            passive: !self.declare,
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        channel
            .exchange_declare(
                self.exchange.clone(),
                ExchangeKind::Topic,
                options,
                FieldTable::default(),
            )
            .await
            .map_err(|error| anyhow::anyhow!(self.explain(&error)))?;
        if let Err(error) = channel.close(200, "OK".into()).await {
            tracing::debug!(
                error = reason(&error),
                "the channel of the exchange's declaration was not closed"
            );
        }
        Ok(())
    }

    fn explain(&self, error: &lapin::Error) -> String {
        let exchange = self.exchange.as_str();
        let ErrorKind::ProtocolError(refusal) = error.kind() else {
            return reason(error);
        };
        let said = refusal.get_message();
        match refusal.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => format!(
                "the exchange {exchange} exists, but not as a durable topic exchange ({said}): delete it, name another \
                 one in RELAY_EXCHANGE, or use it as it is with RELAY_DECLARE=false"
            ),
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => format!(
                "the exchange {exchange} does not exist ({said}): declare it, or let the relay do so with \
                 RELAY_DECLARE=true"
            ),
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => format!(
                "the relay may not declare the exchange {exchange} ({said}): grant its user the configure permission, \
                 or declare the exchange and set RELAY_DECLARE=false"
            ),
            _ => format!("the exchange {exchange} is refused: {said}"),
        }
    }
}
