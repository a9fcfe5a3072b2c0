//! The way to the retry and dead-letter queues: a connection of its own. A broker that is short of memory or disk stops reading
//! from whoever publishes; acknowledgements on the same connection would be stuck behind.

use service_kit::amqp::Channel;

use super::broker::{Broker, in_time};
use super::config::IntakeArgs;
use super::divert::{Fate, Move, publish};
use super::topology::{DEAD_LETTER_EXCHANGE, RETRY_EXCHANGE};

/// A channel with confirms, opened when there is something to move: most consumers never need it.
pub(super) struct Mover {
    broker: Broker,
    channel: Option<(Channel, usize)>,
}

impl Mover {
    pub(super) const fn new(broker: Broker) -> Self {
        Self { broker, channel: None }
    }

    /// Moves messages; each is told its fate. What the dead-letter queue refuses goes to the retry queue.
    ///
    /// # Errors
    /// With the reason when the fate of some is unknown.
    pub(super) async fn divert(
        &mut self,
        moves: &mut [Move<'_>],
        args: &IntakeArgs,
    ) -> Result<(), String> {
        self.publish(RETRY_EXCHANGE, moves, args).await?;
        self.publish(DEAD_LETTER_EXCHANGE, moves, args).await?;
        moves.iter_mut().for_each(Move::put_off);
        self.publish(RETRY_EXCHANGE, moves, args).await
    }

    async fn publish(
        &mut self,
        exchange: &'static str,
        moves: &mut [Move<'_>],
        args: &IntakeArgs,
    ) -> Result<(), String> {
        if !moves.iter().any(|one| one.exchange() == exchange && one.fate == Fate::Unknown) {
            return Ok(());
        }
        let (channel, frame_max) = match self.channel.take() {
            Some(open) if open.0.is_open() => open,
            _ => self.open().await?,
        };
        publish(&channel, exchange, moves, args, frame_max).await?;
        // A queue that has refused what came over a channel may go on doing so when it is not full any more: seen with RabbitMQ 3.10, when the
        // policy that limits it is deleted.
        if !moves.iter().any(|one| matches!(one.fate, Fate::Refused(_))) {
            self.channel = Some((channel, frame_max));
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(Channel, usize), String> {
        let (channel, frame_max) = self.broker.channel().await?;
        in_time("answer", channel.confirm()).await?;
        Ok((channel, frame_max))
    }

    /// Closes the connection.
    pub(super) async fn close(mut self) {
        self.broker.close().await;
    }
}
