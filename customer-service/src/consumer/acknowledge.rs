//! Answers the broker: moves messages elsewhere, acknowledges those that are done.

use std::sync::Arc;

use service_kit::amqp::Channel;

use super::broker::in_time;
use super::config::IntakeArgs;
use super::divert::Move;
use super::mover::Mover;

/// The other end of an [`Intake`](super::intake::Intake).
pub(super) struct Acknowledger {
    channel: Arc<Channel>,
    mover: Mover,
    args: IntakeArgs,
}

impl Acknowledger {
    /// For what was delivered on `channel`.
    pub(super) const fn new(channel: Arc<Channel>, mover: Mover, args: IntakeArgs) -> Self {
        Self { channel, mover, args }
    }

    /// Moves messages of a batch elsewhere.
    ///
    /// # Errors
    /// With the reason when it is not certain that all of them arrived.
    pub(super) async fn divert(&mut self, moves: &[Move<'_>]) -> Result<(), String> {
        self.mover.divert(moves, &self.args).await
    }

    /// Acknowledges the message with this tag and all that were delivered before it. Each of them must have had its effect or be
    /// stored elsewhere.
    ///
    /// # Errors
    /// With the reason when the channel is gone: the messages will be delivered again.
    pub(super) async fn acknowledge_up_to(&self, delivery_tag: u64) -> Result<(), String> {
        in_time("take an answer", self.channel.acknowledge_up_to(delivery_tag)).await
    }

    /// Closes the channel: whatever is not acknowledged returns to the queue at once.
    pub(super) async fn close(self) {
        let closing = in_time("close a channel", self.channel.close());
        let ((), closed) = tokio::join!(self.mover.close(), closing);
        if let Err(reason) = closed {
            tracing::debug!(reason, "the channel was not closed in an orderly way");
        }
    }
}
