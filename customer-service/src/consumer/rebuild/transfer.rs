//! Messages from one queue to another: each is published with confirm and `mandatory`, and acknowledged after that.

use std::time::Duration;

use amq_protocol::types::ShortString;
use service_kit::amqp::{Channel, Delivery, Outcome};
use tokio::time::{Instant, timeout};

use super::state::{depth, request};
use crate::consumer::broker::{Broker, CONFIRM_TIMEOUT, with_timeout};
use crate::consumer::headers;
use crate::consumer::republish::{self, FRAME_OVERHEAD};
use crate::consumer::terminal::print_progress;

/// Messages on their way to this process, and bytes of them that are sent before their confirms are awaited.
const PREFETCH: u16 = 500;
const BATCH_BYTES: usize = 4 << 20;

/// A queue to which nothing came for so long gets no more: what was on its way when it was unbound has arrived.
const QUIET_PERIOD: Duration = Duration::from_secs(1);

/// How many times in a row the broker may not know what a queue holds.
const MAX_UNKNOWN_DEPTHS: u32 = 60;

/// How often people hear how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// A consumer of the one queue who publishes to the other.
pub(super) struct Transfer<'a> {
    broker: &'a Broker,
    from: &'static str,
    to: &'static str,
    /// A connection for messages alone, so that the answer to a question is not stuck behind them.
    receiver_connection: Broker,
    receiver: Channel,
    /// On a connection of its own, so that acknowledgements are not stuck behind messages.
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

    /// Moves messages until there are none, and nothing has come for a while.
    ///
    /// # Errors
    /// When one can't be moved, another consumer has some of them, or the broker does not tell how many there are.
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
            // This run is a consumer itself. While a quorum queue has no leader, the broker says that there are neither messages nor consumers.
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

    /// Deletes the queue that was emptied, and redirects what came to it in the last moment: the broker delivers that before it ends the consumer.
    pub(super) async fn delete(mut self) -> Result<(), String> {
        // It may be long since somebody looked: what is told to people waits for whoever reads it.
        self.empty().await?;
        let channel = self.broker.open_channel().await?;
        request(&format!("queue {} can't be deleted", self.from), channel.delete_queue(self.from))
            .await?;
        // It ends when the broker has ended the consumer.
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
        // In one word: of many, a broker forgets some when the channel is closed after them.
        if let Some(newest) = messages.last() {
            let all = self.receiver.acknowledge_up_to(newest.envelope.tag);
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
                let mut properties = republish::properties(delivery);
                if let Some(expiration) = delivery.properties().expiration() {
                    properties = properties.with_expiration(expiration.clone());
                }
                let properties =
                    properties.with_headers(headers::for_same_route(delivery, self.room));
                republish::message(delivery, &properties, self.to)
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
