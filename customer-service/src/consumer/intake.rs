//! Takes messages from the queue, as many as have arrived, and acknowledges them together.

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer, ErrorKind};
use service_kit::broker::reason;
use tokio::time::timeout;

use super::broker::{ANSWER_LIMIT, Broker};
use super::config::IntakeArgs;
use super::divert::Move;
use super::mover::Mover;
use super::topology::{QUEUE, declare};

/// A channel on which the queue is consumed.
pub(super) struct Intake {
    channel: Channel,
    consumer: Consumer,
    mover: Mover,
    args: IntakeArgs,
}

impl Intake {
    /// Declares the topology and begins to consume.
    ///
    /// # Errors
    /// With the reason why that can't be done now.
    pub(super) async fn open(broker: &mut Broker, args: &IntakeArgs) -> Result<Self, String> {
        let (channel, _) = broker.channel().await?;
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
        let mover = Mover::new(broker.sibling("customer-service consumer: retries"));
        Ok(Self { channel, consumer, mover, args: args.clone() })
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

    /// Moves messages of a batch elsewhere.
    ///
    /// # Errors
    /// With the reason when it is not certain that all of them arrived.
    pub(super) async fn divert(&mut self, moves: &[Move<'_>]) -> Result<(), String> {
        self.mover.divert(moves, &self.args).await
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

async fn consume(channel: &Channel, prefetch: u16) -> lapin::Result<Consumer> {
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
        Some(Err(error)) => Err(explain(&error)),
        None => Err(format!("the broker ended the consumer of {QUEUE}: was the queue deleted?")),
    }
}

/// The broker hands on headers of kinds that the driver can't read, and hands them out anew after each new connection.
fn explain(error: &lapin::Error) -> String {
    let words = reason(error);
    match error.kind() {
        ErrorKind::ParsingError(_) => format!(
            "a message at the head of {QUEUE} can't be read, most likely because of its headers: stop the consumer and remove it \
             with Get messages of the management UI, Ack mode Automatic ack ({words})"
        ),
        _ => words,
    }
}
