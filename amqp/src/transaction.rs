//! Publishing in a transaction that is rolled back, to find out what the broker would refuse.

use amq_protocol::protocol::{AMQPClass, tx};
use amq_protocol::types::ShortString;

use super::channel::Channel;
use super::failure::Failure;
use super::message::Message;

impl Channel {
    /// Publishes `message` in a transaction and rolls it back: the broker checks all that it checks
    /// of a message, and delivers nothing. The channel stays in transaction mode and should be
    /// dropped.
    ///
    /// # Errors
    /// Why the broker would refuse it: see [`Failure`].
    pub async fn try_publish(
        &self,
        exchange: &ShortString,
        message: &Message,
    ) -> Result<(), Failure> {
        let select = tx::AMQPMethod::Select(tx::Select {});
        self.request(AMQPClass::Tx(select)).await?;
        let sent = self.send(exchange, &[message]).await;
        sent.map_err(|error| Failure::Lost(error.to_string()))?;
        let rollback = tx::AMQPMethod::Rollback(tx::Rollback {});
        self.request(AMQPClass::Tx(rollback)).await
    }
}
