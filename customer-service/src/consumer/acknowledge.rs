//! Answers the broker: redirects messages elsewhere, acknowledges those that are done, keeps those that can't be moved for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use service_kit::amqp::Channel;

use super::broker::with_timeout;
use super::config::SubscriptionArgs;
use super::redirect::{PublishOutcome, Redirect};
use super::redirector::Redirector;
use super::topology::DEAD_LETTER_EXCHANGE;

/// How long a message that no queue takes is kept before it returns to its own. RabbitMQ ends a consumer that keeps one for 30 minutes
/// (<https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout>).
pub(super) const HOLD_TIME: Duration = Duration::from_mins(1);

/// Why messages could not be dealt with on this channel.
#[derive(Debug)]
pub(super) enum AcknowledgeError {
    /// The channel, or the way to the broker, is gone; or too many messages have nowhere to go.
    Broker(String),
    /// A queue or an exchange is missing.
    MissingTopology(String),
}

/// The other end of an [`Subscription`](super::subscription::Subscription).
pub(super) struct Acknowledger {
    channel: Arc<Channel>,
    redirector: Redirector,
    args: SubscriptionArgs,
    /// Whether the redirector may answer a message that no queue takes by having the consumer declare its queues anew, which closes this channel. The consumer sets it
    /// once in [`HOLD_TIME`] at the most, and never with `CONSUMER_DECLARE=false`.
    pub(super) may_redeclare: bool,
    /// Tags of the messages that could not be moved, the oldest first.
    held: Vec<(Instant, u64)>,
    /// By exchange, why messages were not taken the last time.
    refusals: BTreeMap<&'static str, String>,
}

impl Acknowledger {
    /// For what was delivered on `channel`.
    pub(super) const fn new(
        channel: Arc<Channel>,
        redirector: Redirector,
        args: SubscriptionArgs,
    ) -> Self {
        Self {
            channel,
            redirector,
            args,
            may_redeclare: true,
            held: Vec::new(),
            refusals: BTreeMap::new(),
        }
    }

    /// Acknowledges the messages with these tags, which had their effect. There may be others between them.
    ///
    /// # Errors
    /// When the channel is gone: the messages will be delivered again.
    pub(super) async fn acknowledge(
        &self,
        tags: &[u64],
        are_all: bool,
    ) -> Result<(), AcknowledgeError> {
        let acknowledging = async {
            match tags.last() {
                Some(last) if are_all && self.held.is_empty() => {
                    self.channel.acknowledge_up_to(*last).await
                }
                _ => self.channel.acknowledge(tags).await,
            }
        };
        with_timeout("take an answer", acknowledging).await.map_err(AcknowledgeError::Broker)
    }

    /// Moves messages elsewhere, and acknowledges those that are there. The others are kept for a while.
    ///
    /// # Errors
    /// When the outcome of some is unknown, when a queue is missing, or when more are kept than half of the prefetch: all that is not acknowledged
    /// will be delivered again.
    pub(super) async fn redirect(
        &mut self,
        redirects: &mut [Redirect<'_>],
    ) -> Result<(), AcknowledgeError> {
        if redirects.is_empty() {
            return Ok(());
        }
        if !self.channel.is_open() {
            // The originals are back in their queue: each would have a copy.
            return Err(AcknowledgeError::Broker("the broker closed the channel".to_owned()));
        }
        for one in redirects.iter() {
            self.refusals.remove(one.exchange());
        }
        let redirected = self.redirector.redirect(redirects, &self.args, self.may_redeclare).await;
        let (mut moved, mut missing) = (Vec::new(), None);
        let (now, kept) = (Instant::now(), self.held.len());
        for one in redirects.iter() {
            if let Some(why) = &one.refused_dead_letter {
                self.refusals.insert(DEAD_LETTER_EXCHANGE, why.clone());
            }
            let tag = one.delivery.envelope.tag;
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
        let put_off = redirects.iter().filter(|one| one.refused_dead_letter.is_some()).count();
        if let Some(why) = self.refusal_summary() {
            let kept = self.held.len() - kept;
            tracing::warn!(
                put_off,
                kept,
                why,
                "messages can't be moved to where they belong: they are tried again"
            );
        }
        self.acknowledge(&moved, false).await?;
        redirected.map_err(AcknowledgeError::Broker)?;
        if let Some(why) = missing {
            return Err(AcknowledgeError::MissingTopology(why));
        }
        if self.held.len() > usize::from(self.args.consumer_prefetch) / 2 {
            let (kept, why) = (self.held.len(), self.refusal_summary().unwrap_or_default());
            return Err(AcknowledgeError::Broker(format!(
                "{kept} messages have nowhere to go: {why}"
            )));
        }
        Ok(())
    }

    /// Why messages can't be moved to where they belong, for people.
    pub(super) fn refusal_summary(&self) -> Option<String> {
        let refusals: Vec<&str> = self.refusals.values().map(String::as_str).collect();
        (!refusals.is_empty()).then(|| refusals.join("; "))
    }

    /// Returns the messages to their queue that were kept for long enough: they are tried again.
    ///
    /// # Errors
    /// When the channel is gone.
    pub(super) async fn return_held(&mut self) -> Result<(), AcknowledgeError> {
        let old = self.held.partition_point(|(since, _)| since.elapsed() >= HOLD_TIME);
        let tags: Vec<u64> = self.held.drain(..old).map(|(_, tag)| tag).collect();
        let returning = self.channel.return_to_queue(&tags);
        with_timeout("take an answer", returning).await.map_err(AcknowledgeError::Broker)
    }

    /// Closes the channel: whatever is not acknowledged returns to the queue at once.
    pub(super) async fn close(self) {
        let closing = with_timeout("close a channel", self.channel.close());
        let ((), closed) = tokio::join!(self.redirector.close(), closing);
        if let Err(reason) = closed {
            tracing::debug!(reason, "the channel was not closed in an orderly way");
        }
    }
}
