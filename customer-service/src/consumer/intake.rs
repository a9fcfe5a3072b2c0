//! Takes messages from the queue, as many as have arrived.

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer, ErrorKind};
use service_kit::broker::reason;
use tokio::time::timeout;

use super::acknowledge::Acknowledger;
use super::batch::Batch;
use super::broker::{ANSWER_LIMIT, Broker};
use super::config::IntakeArgs;
use super::mover::Mover;
use super::topology::{QUEUE, declare};

/// The messages of the queue.
pub(super) struct Intake {
    consumer: Consumer,
}

impl Intake {
    /// Declares the topology and begins to consume on a channel of its own.
    ///
    /// # Errors
    /// With the reason why that can't be done now.
    pub(super) async fn open(
        broker: &mut Broker,
        args: &IntakeArgs,
    ) -> Result<(Self, Acknowledger), String> {
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
        Ok((Self { consumer }, Acknowledger::new(channel, mover, args.clone())))
    }

    /// Waits for a message, then adds all that have arrived to `batch`, as far as there is room. What was taken returns to the queue
    /// when the channel is closed. Nothing is lost when this is given up while it waits.
    ///
    /// # Errors
    /// With the reason when no more messages can come: the connection is gone, or the queue was deleted.
    pub(super) async fn gather(&mut self, batch: &mut Batch) -> Result<(), String> {
        batch.push(delivery(self.consumer.next().await)?);
        while !batch.is_full() {
            let Some(next) = self.consumer.next().now_or_never() else {
                break;
            };
            batch.push(delivery(next)?);
        }
        Ok(())
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
