//! Takes messages from the queue, as many as have arrived, and acknowledges them together.

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use service_kit::broker::reason;
use tokio::time::timeout;

use super::broker::{ANSWER_LIMIT, Broker};
use super::config::IntakeArgs;
use super::divert::{Move, divert};
use super::topology::{QUEUE, declare};

/// A channel on which the queue is consumed.
pub(super) struct Intake {
    channel: Channel,
    frame_max: u32,
    consumer: Consumer,
    args: IntakeArgs,
}

impl Intake {
    /// Declares the topology and begins to consume.
    ///
    /// # Errors
    /// With the reason why that can't be done now.
    pub(super) async fn open(broker: &mut Broker, args: &IntakeArgs) -> Result<Self, String> {
        let (channel, frame_max) = broker.channel().await?;
        let consumer = timeout(ANSWER_LIMIT, async {
            declare(&channel).await?;
            consume(&channel, args.consumer_prefetch)
                .await
                .map_err(|error| format!("queue {QUEUE} can't be consumed: {}", reason(&error)))
        })
        .await
        .unwrap_or_else(|_| {
            Err(format!("the broker takes longer than {ANSWER_LIMIT:?} to answer"))
        })?;
        Ok(Self { channel, frame_max, consumer, args: args.clone() })
    }

    /// Waits for a message, then takes all that have arrived. What was taken returns to the queue when the channel is closed.
    ///
    /// # Errors
    /// With the reason when no more messages can come: the connection is gone, or the queue was deleted.
    pub(super) async fn take(&mut self) -> Result<Vec<Delivery>, String> {
        let mut batch = vec![delivery(self.consumer.next().await)?];
        while batch.len() < usize::from(self.args.consumer_prefetch) {
            let Some(next) = self.consumer.next().now_or_never() else {
                break;
            };
            batch.push(delivery(next)?);
        }
        Ok(batch)
    }

    /// Moves messages of a batch elsewhere, as [`divert`] does.
    ///
    /// # Errors
    /// With the reason when it is not certain that all of them arrived.
    pub(super) async fn divert(&self, moves: &[Move<'_>]) -> Result<(), String> {
        divert(&self.channel, moves, &self.args, self.frame_max).await
    }

    /// Acknowledges everything that was taken so far. Each of those messages must have had its effect or be stored elsewhere.
    ///
    /// # Errors
    /// With the reason when the channel is gone: the messages will be delivered again.
    pub(super) async fn acknowledge(&self, batch: &[Delivery]) -> Result<(), String> {
        let Some(last) = batch.last() else {
            return Ok(());
        };
        timeout(
            ANSWER_LIMIT,
            self.channel.basic_ack(last.delivery_tag, BasicAckOptions { multiple: true }),
        )
        .await
        .map_err(|_| format!("the broker takes nothing for longer than {ANSWER_LIMIT:?}"))?
        .map_err(|error| reason(&error))
    }

    /// Closes the channel: whatever is not acknowledged returns to the queue at once.
    pub(super) async fn close(self) {
        match timeout(ANSWER_LIMIT, self.channel.close(200, "stopping".into())).await {
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

async fn consume(channel: &Channel, prefetch: u16) -> lapin::Result<Consumer> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    channel
        .basic_consume(
            QUEUE.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
}

fn delivery(next: Option<lapin::Result<Delivery>>) -> Result<Delivery, String> {
    match next {
        Some(Ok(delivery)) => Ok(delivery),
        Some(Err(error)) => Err(reason(&error)),
        None => Err(format!("the broker ended the consumer of {QUEUE}: was the queue deleted?")),
    }
}
