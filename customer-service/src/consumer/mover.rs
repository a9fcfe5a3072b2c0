//! The way to the retry and dead-letter queues: a connection of its own. A broker that is short of memory or disk stops reading
//! from whoever publishes; acknowledgements on the same connection would be stuck behind.

use lapin::Channel;
use lapin::options::ConfirmSelectOptions;
use service_kit::broker::reason;
use tokio::time::timeout;

use super::broker::{ANSWER_LIMIT, Broker};
use super::config::IntakeArgs;
use super::divert::{Move, divert};

/// A channel with confirms, opened when there is something to move: most consumers never need it.
pub(super) struct Mover {
    broker: Broker,
    channel: Option<(Channel, u32)>,
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
            Some(open) if open.0.status().connected() => open,
            _ => self.open().await?,
        };
        divert(&channel, moves, args, frame_max).await?;
        self.channel = Some((channel, frame_max));
        Ok(())
    }

    async fn open(&mut self) -> Result<(Channel, u32), String> {
        let (channel, frame_max) = self.broker.channel().await?;
        timeout(ANSWER_LIMIT, channel.confirm_select(ConfirmSelectOptions::default()))
            .await
            .map_err(|_| format!("the broker takes longer than {ANSWER_LIMIT:?} to answer"))?
            .map_err(|error| reason(&error))?;
        Ok((channel, frame_max))
    }

    /// Closes the connection.
    pub(super) async fn close(self) {
        self.broker.close().await;
    }
}
