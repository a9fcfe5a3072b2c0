//! Transactions, of which only the end that undoes them is of use here.

use amq_protocol::protocol::{AMQPClass, tx};
use amq_protocol::types::ShortString;

use super::channel::Channel;
use super::failure::Failure;
use super::message::Message;

impl Channel {
    /// Publishes `message` in a transaction that is rolled back: the broker looks at all that it looks at before it takes a message, and delivers it to
    /// nobody. The channel is of no use for anything else afterwards, as it stays in transaction mode.
    ///
    /// # Errors
    /// Why the broker would not take it: see [`Failure`].
    pub async fn try_publish(
        &self,
        exchange: &ShortString,
        message: &Message,
    ) -> Result<(), Failure> {
        let select = tx::AMQPMethod::Select(tx::Select {});
        self.ask(AMQPClass::Tx(select)).await?;
        let sent = self.send(exchange, &[message]).await;
        sent.map_err(|error| Failure::Lost(error.to_string()))?;
        let rollback = tx::AMQPMethod::Rollback(tx::Rollback {});
        self.ask(AMQPClass::Tx(rollback)).await
    }
}
