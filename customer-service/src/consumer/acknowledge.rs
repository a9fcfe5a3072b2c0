//! Answers the broker: moves messages elsewhere, acknowledges those that are done.

use lapin::Channel;
use lapin::options::BasicAckOptions;
use service_kit::broker::reason;
use tokio::time::timeout;

use super::broker::ANSWER_LIMIT;
use super::config::IntakeArgs;
use super::divert::Move;
use super::mover::Mover;

/// The other end of an [`Intake`](super::intake::Intake).
pub(super) struct Acknowledger {
    channel: Channel,
    mover: Mover,
    args: IntakeArgs,
}

impl Acknowledger {
    /// For what was delivered on `channel`.
    pub(super) const fn new(channel: Channel, mover: Mover, args: IntakeArgs) -> Self {
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
        timeout(
            ANSWER_LIMIT,
            self.channel.basic_ack(delivery_tag, BasicAckOptions { multiple: true }),
        )
        .await
        .map_err(|_| format!("the broker takes nothing for longer than {ANSWER_LIMIT:?}"))?
        .map_err(|error| reason(&error))
    }

    /// Closes the channel: whatever is not acknowledged returns to the queue at once.
    pub(super) async fn close(self) {
        let closing = timeout(ANSWER_LIMIT, self.channel.close(200, "stopping".into()));
        let ((), closed) = tokio::join!(self.mover.close(), closing);
        match closed {
            Ok(Ok(())) => (),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the channel was closed already");
            }
            Err(_) => {
                tracing::debug!("the broker does not answer: the channel was left open");
            }
        }
    }
}
