//! Acknowledges messages that were counted or redirected, and holds those that could not be
//! redirected for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp::Channel;

use super::broker::with_timeout;
use super::config::SubscriptionArgs;
use super::redirect::{OnUnroutable, PublishOutcome, Redirect};
use super::redirect_connection::RedirectConnection;
use super::topology::DEAD_LETTER_EXCHANGE;

/// How long a message that could not be redirected is held before it returns to the work queue.
/// RabbitMQ closes the channel of a consumer that holds one for 30 minutes
/// (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).
pub(super) const HOLD_TIME: Duration = Duration::from_mins(1);

/// Why messages were neither acknowledged nor held.
#[derive(Debug)]
pub(super) enum AcknowledgeError {
    /// The channel or the connection is lost, or too many messages are held.
    Broker(String),
    /// A queue or an exchange is missing.
    MissingTopology(String),
}

/// Acknowledges the messages of a [`Subscription`](super::subscription::Subscription).
pub(super) struct Acknowledger {
    channel: Arc<Channel>,
    redirect_connection: RedirectConnection,
    args: SubscriptionArgs,
    /// Declaring the topology again closes this channel. The run loop allows it at most once in
    /// [`HOLD_TIME`], and never with `CONSUMER_DECLARE=false`.
    pub(super) on_unroutable: OnUnroutable,
    /// Tags of the messages that could not be redirected, oldest first.
    held: Vec<(Instant, u64)>,
    /// The latest refusal of each exchange.
    refusals: BTreeMap<&'static str, String>,
}

impl Acknowledger {
    /// Acknowledges the deliveries of `channel`.
    pub(super) const fn new(
        channel: Arc<Channel>,
        redirect_connection: RedirectConnection,
        args: SubscriptionArgs,
    ) -> Self {
        Self {
            channel,
            redirect_connection,
            args,
            on_unroutable: OnUnroutable::Redeclare,
            held: Vec::new(),
            refusals: BTreeMap::new(),
        }
    }

    /// Acknowledges the messages with these tags. Others may have been delivered in between.
    ///
    /// # Errors
    /// When the channel is lost: the messages will be delivered again.
    pub(super) async fn acknowledge(&self, tags: &[u64]) -> Result<(), AcknowledgeError> {
        with_timeout("take an answer", self.channel.acknowledge(tags))
            .await
            .map_err(AcknowledgeError::Broker)
    }

    /// Acknowledges all messages that were delivered up to the last of `tags`, in one frame unless
    /// others are held.
    ///
    /// # Errors
    /// Those of [`acknowledge`](Self::acknowledge).
    pub(super) async fn acknowledge_batch(&self, tags: &[u64]) -> Result<(), AcknowledgeError> {
        match tags.last() {
            Some(last) if self.held.is_empty() => {
                with_timeout("take an answer", self.channel.acknowledge_up_to(*last))
                    .await
                    .map_err(AcknowledgeError::Broker)
            }
            _ => self.acknowledge(tags).await,
        }
    }

    /// Redirects messages and acknowledges those that arrived. The others are held for a while.
    ///
    /// # Errors
    /// When the outcome of some is unknown, when a queue is missing, or when more than half of the
    /// prefetch is held. Messages that are not acknowledged will be delivered again.
    pub(super) async fn redirect(
        &mut self,
        redirects: &mut [Redirect<'_>],
    ) -> Result<(), AcknowledgeError> {
        if redirects.is_empty() {
            return Ok(());
        }
        if !self.channel.is_open() {
            // The originals are back in the queue: redirecting them would duplicate each.
            return Err(AcknowledgeError::Broker("the broker closed the channel".to_owned()));
        }
        for one in redirects.iter() {
            self.refusals.remove(one.exchange());
        }
        let redirected =
            self.redirect_connection.redirect(redirects, &self.args, self.on_unroutable).await;
        let (mut moved, mut missing) = (Vec::new(), None);
        let (now, held_before) = (Instant::now(), self.held.len());
        for one in redirects.iter() {
            if let Some(why) = &one.refused_dead_letter {
                self.refusals.insert(DEAD_LETTER_EXCHANGE, why.clone());
            }
            let tag = one.delivery.info.tag;
            match &one.outcome {
                PublishOutcome::Confirmed => moved.push(tag),
                PublishOutcome::Refused(why) => {
                    self.refusals.insert(one.exchange(), why.clone());
                    self.held.push((now, tag));
                }
                PublishOutcome::Unroutable(why) => missing = Some(why.clone()),
                PublishOutcome::Unknown => (),
            }
        }
        if let Some(why) = self.refusal_summary() {
            let to_retry_queue =
                redirects.iter().filter(|one| one.refused_dead_letter.is_some()).count();
            tracing::warn!(
                to_retry_queue,
                held = self.held.len() - held_before,
                why,
                "messages could not be redirected: they will be tried again"
            );
        }
        self.acknowledge(&moved).await?;
        redirected.map_err(AcknowledgeError::Broker)?;
        if let Some(why) = missing {
            return Err(AcknowledgeError::MissingTopology(why));
        }
        if self.held.len() > usize::from(self.args.consumer_prefetch) / 2 {
            let (held, why) = (self.held.len(), self.refusal_summary().unwrap_or_default());
            return Err(AcknowledgeError::Broker(format!(
                "{held} messages have nowhere to go: {why}"
            )));
        }
        Ok(())
    }

    /// Why messages could not be redirected, for `/readyz`.
    pub(super) fn refusal_summary(&self) -> Option<String> {
        let refusals: Vec<&str> = self.refusals.values().map(String::as_str).collect();
        (!refusals.is_empty()).then(|| refusals.join("; "))
    }

    /// Returns messages that were held for [`HOLD_TIME`] to the work queue.
    ///
    /// # Errors
    /// When the channel is lost.
    pub(super) async fn return_held(&mut self) -> Result<(), AcknowledgeError> {
        let old = self.held.partition_point(|(since, _)| since.elapsed() >= HOLD_TIME);
        let tags: Vec<u64> = self.held.drain(..old).map(|(_, tag)| tag).collect();
        let requeue = self.channel.return_to_queue(&tags);
        with_timeout("take an answer", requeue).await.map_err(AcknowledgeError::Broker)
    }

    /// Closes the channel. Messages that are not acknowledged return to the queue.
    pub(super) async fn close(self) {
        let closing = with_timeout("close a channel", self.channel.close());
        let ((), closed) = tokio::join!(self.redirect_connection.close(), closing);
        if let Err(reason) = closed {
            tracing::debug!(reason, "the channel was not closed cleanly");
        }
    }
}
