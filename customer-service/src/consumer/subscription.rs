//! Takes messages from the queue, as many as have arrived.

use std::sync::Arc;

use service_kit::amqp::Channel;

use super::acknowledge::Acknowledger;
use super::batch::Batch;
use super::broker::{Broker, with_timeout};
use super::config::SubscriptionArgs;
use super::rebuild::{MOVING_QUEUE, RebuildStatus, rebuild_status};
use super::redirector::Redirector;
use super::topology::{Topology, WORK_QUEUE, declare, verify};

/// The messages of the queue.
pub(super) struct Subscription {
    channel: Arc<Channel>,
    /// For people: what of the topology is otherwise than it should be.
    pub(super) deviations: Vec<String>,
    /// Bindings that the consumer did not make, and can't ask for.
    pub(super) assumed_bindings: Option<String>,
    /// Whether all that is sent to the retry queue comes back.
    pub(super) is_retry_queue_usable: bool,
}

impl Subscription {
    /// Declares the topology, or checks that it is there, and begins to consume on a channel of its own.
    ///
    /// # Errors
    /// With the reason why that can't be done now.
    pub(super) async fn open(
        broker: &mut Broker,
        args: &SubscriptionArgs,
    ) -> Result<(Self, Acknowledger), String> {
        let (channel, _) = broker.connect().await?;
        let rebuild = with_timeout("answer", rebuild_status(broker)).await?;
        if rebuild == RebuildStatus::Running {
            return Err(format!(
                "{WORK_QUEUE} is being made anew by customer-service consumer rebuild-queue: waiting until that has ended"
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
                // A consumer that the broker makes after all would be handed messages that nobody takes.
                broker.drop_connection();
                return Err(reason);
            }
        };
        let channel = Arc::new(channel);
        let Topology { mut deviations, retry_queue_mismatch, assumed_bindings } = topology;
        if rebuild == RebuildStatus::Interrupted {
            deviations.push(format!(
                "{MOVING_QUEUE} is there, and nobody counts the events in it: customer-service consumer rebuild-queue did not come to its end; stop all consumers and run it again"
            ));
        }
        let sibling = broker.separate_connection("customer-service consumer: retries");
        let is_retry_queue_usable = retry_queue_mismatch.is_none();
        let redirector = Redirector::new(sibling, retry_queue_mismatch);
        let acknowledger = Acknowledger::new(Arc::clone(&channel), redirector, args.clone());
        Ok((Self { channel, deviations, assumed_bindings, is_retry_queue_usable }, acknowledger))
    }

    /// Waits for messages and adds those that have arrived to `batch`, as far as there is room. What was taken returns to the queue
    /// when the channel is closed. Nothing is lost when this is given up while it waits.
    ///
    /// # Errors
    /// With the reason when no more messages can come: the connection is gone, or the queue was deleted.
    pub(super) async fn receive_into(&self, batch: &mut Batch) -> Result<(), String> {
        let (messages, bytes) = batch.room();
        let arrived = self.channel.deliveries(messages, bytes).await;
        for delivery in arrived.map_err(|failure| failure.to_string())? {
            batch.push(delivery);
        }
        Ok(())
    }
}
