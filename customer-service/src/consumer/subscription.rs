//! Subscribes to the work queue and receives its messages.

use std::sync::Arc;

use amqp::Channel;

use super::acknowledge::Acknowledger;
use super::batch::Batch;
use super::broker::{Broker, with_timeout};
use super::config::SubscriptionArgs;
use super::rebuild::{MOVING_QUEUE, RebuildStatus, rebuild_status};
use super::redirect_connection::RedirectConnection;
use super::topology::{Topology, WORK_QUEUE, declare, verify};

/// A subscription to the work queue.
pub(super) struct Subscription {
    channel: Arc<Channel>,
    /// Where the topology differs from what the consumer declares.
    pub(super) deviations: Vec<String>,
    /// Bindings that were not declared by this consumer: AMQP can't verify a binding.
    pub(super) assumed_bindings: Option<String>,
    /// Whether messages return from the retry queue.
    pub(super) is_retry_queue_usable: bool,
}

impl Subscription {
    /// Declares or verifies the topology and starts to consume, on a new channel.
    ///
    /// # Errors
    /// Returns why that is not possible now.
    pub(super) async fn open(
        broker: &mut Broker,
        args: &SubscriptionArgs,
    ) -> Result<(Self, Acknowledger), String> {
        let (channel, _) = broker.connect().await?;
        let rebuild = with_timeout("answer", rebuild_status(broker)).await?;
        if rebuild == RebuildStatus::Running {
            return Err(format!(
                "{WORK_QUEUE} is being rebuilt by customer-service consumer rebuild-queue: waiting until that has ended"
            ));
        }
        let consuming = async {
            let (channel, topology) = if args.consumer_declare {
                declare(broker, channel).await?
            } else {
                verify(broker, channel).await?
            };
            let consuming = channel.consume(WORK_QUEUE, args.consumer_prefetch).await;
            consuming
                .map_err(|failure| format!("queue {WORK_QUEUE} can't be consumed: {failure}"))?;
            Ok::<_, String>((channel, topology))
        };
        let (channel, topology) = match with_timeout("answer", consuming).await {
            Ok(consuming) => consuming,
            Err(reason) => {
                // The broker may still start the consumer, whose messages nobody would receive.
                broker.drop_connection();
                return Err(reason);
            }
        };
        let channel = Arc::new(channel);
        let Topology { mut deviations, retry_queue_mismatch, assumed_bindings } = topology;
        if rebuild == RebuildStatus::Interrupted {
            deviations.push(format!(
                "{MOVING_QUEUE} exists, and its events are not counted: customer-service consumer rebuild-queue was interrupted; stop all consumers and run it again"
            ));
        }
        let sibling = broker.separate_connection("customer-service consumer: retries");
        let is_retry_queue_usable = retry_queue_mismatch.is_none();
        let redirect_connection = RedirectConnection::new(sibling, retry_queue_mismatch);
        let acknowledger =
            Acknowledger::new(Arc::clone(&channel), redirect_connection, args.clone());
        Ok((Self { channel, deviations, assumed_bindings, is_retry_queue_usable }, acknowledger))
    }

    /// Waits for messages and moves those that have arrived into `batch`, as far as there is room.
    /// They return to the queue when the channel is closed before they are acknowledged. Cancel
    /// safe.
    ///
    /// # Errors
    /// Returns why no more messages can arrive: the connection is lost, or the queue was deleted.
    pub(super) async fn receive_into(&self, batch: &mut Batch) -> Result<(), String> {
        let (messages, bytes) = batch.room();
        let arrived = self.channel.deliveries(messages, bytes).await;
        for delivery in arrived.map_err(|failure| failure.to_string())? {
            batch.push(delivery);
        }
        Ok(())
    }
}
