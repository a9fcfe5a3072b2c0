//! The way to the retry and dead-letter queues: a connection of its own. A broker that is short of memory or disk stops parsed
//! from whoever publishes; acknowledgements on the same connection would be stuck behind.

use service_kit::amqp::Channel;

use super::broker::{Broker, with_timeout};
use super::config::SubscriptionArgs;
use super::redirect::{PublishEnd, PublishOutcome, Redirect, publish};
use super::topology::{DEAD_LETTER_EXCHANGE, RETRY_EXCHANGE};

/// A channel with confirms, opened when there is something to move: most consumers never need it.
pub(super) struct Redirector {
    broker: Broker,
    channel: Option<(Channel, usize)>,
    /// Why a message in the retry queue might not come back.
    retry_queue_mismatch: Option<String>,
}

impl Redirector {
    pub(super) const fn new(broker: Broker, retry_queue_mismatch: Option<String>) -> Self {
        Self { broker, channel: None, retry_queue_mismatch }
    }

    /// Moves messages; each is told its outcome. What the dead-letter queue refuses goes to the retry queue. `may_redeclare`: a missing queue
    /// may be there soon, and is no refusal.
    ///
    /// # Errors
    /// With the reason when the outcome of some is unknown.
    pub(super) async fn redirect(
        &mut self,
        redirects: &mut [Redirect<'_>],
        args: &SubscriptionArgs,
        may_redeclare: bool,
    ) -> Result<(), String> {
        let retried = self.publish(RETRY_EXCHANGE, redirects, args).await;
        let dead_lettered = self.publish(DEAD_LETTER_EXCHANGE, redirects, args).await;
        for one in redirects.iter_mut() {
            one.refuse_unroutable(may_redeclare);
            one.fall_back_to_retry();
        }
        retried?;
        let fallback = self.publish(RETRY_EXCHANGE, redirects, args).await;
        redirects.iter_mut().for_each(|one| one.refuse_unroutable(may_redeclare));
        dead_lettered.and(fallback)
    }

    async fn publish(
        &mut self,
        exchange: &'static str,
        redirects: &mut [Redirect<'_>],
        args: &SubscriptionArgs,
    ) -> Result<(), String> {
        if exchange == RETRY_EXCHANGE
            && let Some(why) = &self.retry_queue_mismatch
        {
            for one in redirects.iter_mut().filter(|one| one.is_pending_for(exchange)) {
                one.outcome = PublishOutcome::Refused(why.clone());
            }
        }
        if self.publish_together(exchange, redirects, args).await? == PublishEnd::ChannelClosed {
            // The broker closes a channel over one message: the others are not to blame.
            for one in redirects {
                self.publish_together(exchange, std::slice::from_mut(one), args).await?;
            }
        }
        Ok(())
    }

    async fn publish_together(
        &mut self,
        exchange: &'static str,
        redirects: &mut [Redirect<'_>],
        args: &SubscriptionArgs,
    ) -> Result<PublishEnd, String> {
        if !redirects.iter().any(|one| one.is_pending_for(exchange)) {
            return Ok(PublishEnd::Answered);
        }
        let opened = match self.channel.take() {
            Some(open) if open.0.is_open() => Ok(open),
            _ => self.open().await,
        };
        let (channel, frame_max) = match opened {
            Ok(open) => open,
            Err(reason) => {
                for one in redirects.iter_mut().filter(|one| one.is_pending_for(exchange)) {
                    one.outcome =
                        PublishOutcome::Refused(format!("no way to move messages: {reason}"));
                }
                return Ok(PublishEnd::Answered);
            }
        };
        let end = publish(&channel, exchange, redirects, args, frame_max).await?;
        // A queue that has refused what came over a channel may go on doing so when it is not full any more: seen with RabbitMQ 3.10, when the
        // policy that limits it is deleted.
        if !redirects.iter().any(|one| matches!(one.outcome, PublishOutcome::Refused(_))) {
            self.channel = Some((channel, frame_max));
        }
        Ok(end)
    }

    async fn open(&mut self) -> Result<(Channel, usize), String> {
        let (channel, frame_max) = self.broker.connect().await?;
        with_timeout("answer", channel.confirm()).await?;
        Ok((channel, frame_max))
    }

    /// Closes the connection.
    pub(super) async fn close(mut self) {
        self.broker.close().await;
    }
}
