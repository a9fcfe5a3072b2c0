//! The way to the retry and dead-letter queues: a connection of its own. A broker that is short of memory or disk stops reading
//! from whoever publishes; acknowledgements on the same connection would be stuck behind.

use service_kit::amqp::Channel;

use super::broker::{Broker, in_time};
use super::config::IntakeArgs;
use super::divert::{Move, divert};

/// A channel with confirms, opened when there is something to move: most consumers never need it.
pub(super) struct Mover {
    broker: Broker,
    channel: Option<(Channel, usize)>,
}

impl Mover {
    pub(super) const fn new(broker: Broker) -> Self {
        Self { broker, channel: None }
    }

    /// Moves messages, as [`divert`] does.
    ///
    /// # Errors
    /// With the reason when it is not certain that all of them arrived.
    pub(super) async fn divert(
        &mut self,
        moves: &[Move<'_>],
        args: &IntakeArgs,
    ) -> Result<(), String> {
        if moves.is_empty() {
            return Ok(());
        }
        let (channel, frame_max) = match self.channel.take() {
            Some(open) if open.0.is_open() => open,
            _ => self.open().await?,
        };
        divert(&channel, moves, args, frame_max).await?;
        self.channel = Some((channel, frame_max));
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
