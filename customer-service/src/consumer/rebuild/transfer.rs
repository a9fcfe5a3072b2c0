//! Moves messages from one queue to another. Each is published with a confirm and `mandatory`, and
//! then acknowledged.

use std::time::Duration;

use amq_protocol::types::ShortString;
use amqp::{Channel, Delivery, Outcome};
use tokio::time::{Instant, timeout};

use super::state::{depth, request};
use crate::consumer::broker::{Broker, CONFIRM_TIMEOUT, with_timeout};
use crate::consumer::headers;
use crate::consumer::message_copy::{self, FRAME_OVERHEAD};
use crate::consumer::terminal::print_progress;

/// The prefetch, and how many bytes are published before their confirms are awaited.
const PREFETCH: u16 = 500;
const BATCH_BYTES: usize = 4 << 20;

/// A queue that was unbound gets no more messages when none has arrived for this long.
const QUIET_PERIOD: Duration = Duration::from_secs(1);

/// How many times the broker may report a depth without any consumer.
const MAX_UNKNOWN_DEPTHS: u32 = 60;

/// How often progress is printed.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// A consumer of one queue that publishes to the other.
pub(super) struct Transfer<'a> {
    broker: &'a Broker,
    from: &'static str,
    to: &'static str,
    /// For deliveries alone, so that they don't delay answers on `broker`.
    receiver_connection: Broker,
    receiver: Channel,
    /// For publishing alone, so that it does not delay acknowledgements.
    publisher_connection: Broker,
    publisher: Channel,
    room: usize,
    moved: u64,
    last_progress: Instant,
}

impl<'a> Transfer<'a> {
    pub(super) async fn begin(
        broker: &'a Broker,
        from: &'static str,
        to: &'static str,
    ) -> Result<Self, String> {
        let mut publisher_connection =
            broker.separate_connection("customer-service: rebuild-queue messages");
        let (publisher, frame_max) = publisher_connection.connect().await?;
        with_timeout("answer", publisher.confirm()).await?;
        let mut receiver_connection =
            broker.separate_connection("customer-service: rebuild-queue deliveries");
        let (receiver, _) = receiver_connection.connect().await?;
        request(&format!("queue {from} can't be consumed"), receiver.consume(from, PREFETCH))
            .await?;
        let room = frame_max.saturating_sub(FRAME_OVERHEAD);
        let (moved, last_progress) = (0, Instant::now());
        Ok(Self {
            broker,
            from,
            to,
            receiver_connection,
            receiver,
            publisher_connection,
            publisher,
            room,
            moved,
            last_progress,
        })
    }

    /// Moves messages until the queue is empty and was quiet for a while.
    ///
    /// # Errors
    /// When a message can't be moved, the queue has another consumer, or its depth stays unknown.
    pub(super) async fn empty(&mut self) -> Result<(), String> {
        let mut unknown_depths = 0;
        loop {
            if let Ok(arrived) =
                timeout(QUIET_PERIOD, self.receiver.deliveries(PREFETCH.into(), BATCH_BYTES)).await
            {
                let arrived = arrived.map_err(|failure| format!("{}: {failure}", self.from))?;
                self.move_messages(&arrived).await?;
                continue;
            }
            let from = self.from;
            let Some(depth) = depth(self.broker, from).await? else {
                return Err(format!("somebody has deleted {from}"));
            };
            // This run is the only consumer. While a quorum queue has no leader, the broker reports
            // neither messages nor consumers.
            match depth.consumers {
                0 if unknown_depths == MAX_UNKNOWN_DEPTHS => {
                    return Err(format!(
                        "the broker does not tell what {from} holds: has it no leader? Run this again when it has"
                    ));
                }
                0 => unknown_depths += 1,
                1 if depth.messages == 0 && !self.receiver.is_receiving() => return Ok(()),
                1 => (),
                _ => {
                    return Err(format!(
                        "another consumer takes messages from {from}: stop all consumers, then run this again"
                    ));
                }
            }
        }
    }

    /// Deletes the empty queue. Messages that arrive at the last moment are delivered before the
    /// broker cancels the consumer, and are moved too.
    pub(super) async fn delete(mut self) -> Result<(), String> {
        // Printing may have taken long: look once more.
        self.empty().await?;
        let channel = self.broker.open_channel().await?;
        request(&format!("queue {} can't be deleted", self.from), channel.delete_queue(self.from))
            .await?;
        // Ends when the broker has cancelled the consumer.
        while let Ok(Ok(arrived)) =
            timeout(CONFIRM_TIMEOUT, self.receiver.deliveries(PREFETCH.into(), BATCH_BYTES)).await
        {
            self.send(&arrived).await?;
        }
        self.publisher_connection.close().await;
        self.receiver_connection.close().await;
        Ok(())
    }

    async fn move_messages(&mut self, messages: &[Delivery]) -> Result<(), String> {
        self.send(messages).await?;
        // In one frame: of many, the broker may drop some when the channel is closed after them.
        if let Some(newest) = messages.last() {
            let all = self.receiver.acknowledge_up_to(newest.info.tag);
            with_timeout("take an answer", all).await?;
        }
        self.moved += messages.len() as u64;
        if self.last_progress.elapsed() > PROGRESS_INTERVAL {
            self.last_progress = Instant::now();
            print_progress(&format!(
                "moved {} messages from {} to {}",
                self.moved, self.from, self.to
            ));
        }
        Ok(())
    }

    async fn send(&self, deliveries: &[Delivery]) -> Result<(), String> {
        let messages: Vec<_> = deliveries
            .iter()
            .map(|delivery| {
                let mut properties = message_copy::properties(delivery);
                if let Some(expiration) = delivery.properties().expiration() {
                    properties = properties.with_expiration(expiration.clone());
                }
                let properties =
                    properties.with_headers(headers::for_same_route(delivery, self.room));
                message_copy::message(delivery, &properties, self.to)
            })
            .collect();
        let default_exchange = ShortString::default();
        let publishing = self.publisher.publish(&default_exchange, &messages);
        let published = timeout(CONFIRM_TIMEOUT, publishing).await;
        let published = published
            .map_err(|_| format!("the broker takes longer than {CONFIRM_TIMEOUT:?} to confirm"))?;
        published
            .map_err(|failure| format!("messages can't be moved to {}: {failure}", self.to))?;
        for outcome in self.publisher.outcomes(&messages) {
            match outcome {
                Some(Outcome::Confirmed) => (),
                Some(Outcome::Returned(why)) => {
                    return Err(format!("{} does not get a message: {}", self.to, why.reply_text));
                }
                _ => return Err(format!("{} does not take a message: is it full?", self.to)),
            }
        }
        Ok(())
    }
}
