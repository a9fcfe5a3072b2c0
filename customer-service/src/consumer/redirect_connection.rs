//! The connection over which messages are redirected. RabbitMQ stops reading from publishing
//! connections while it is short of memory or disk; acknowledgements need another one.

use amqp::Channel;

use super::broker::{Broker, with_timeout};
use super::config::SubscriptionArgs;
use super::redirect::{OnUnroutable, PublishEnd, PublishOutcome, Redirect, publish};
use super::topology::{DEAD_LETTER_EXCHANGE, RETRY_EXCHANGE};

/// Redirects messages over a channel that is opened when it is needed.
pub(super) struct RedirectConnection {
    broker: Broker,
    channel: Option<(Channel, usize)>,
    /// Why messages might not return from the retry queue. It gets none then.
    retry_queue_mismatch: Option<String>,
}

impl RedirectConnection {
    pub(super) const fn new(broker: Broker, retry_queue_mismatch: Option<String>) -> Self {
        Self { broker, channel: None, retry_queue_mismatch }
    }

    /// Publishes `redirects` and sets the outcome of each. Those that the dead-letter queue refuses
    /// go to the retry queue.
    ///
    /// # Errors
    /// Returns why the outcome of some is unknown.
    pub(super) async fn redirect(
        &mut self,
        redirects: &mut [Redirect<'_>],
        args: &SubscriptionArgs,
        on_unroutable: OnUnroutable,
    ) -> Result<(), String> {
        let retried = self.publish(RETRY_EXCHANGE, redirects, args).await;
        let dead_lettered = self.publish(DEAD_LETTER_EXCHANGE, redirects, args).await;
        for one in redirects.iter_mut() {
            one.resolve_unroutable(on_unroutable);
            one.fall_back_to_retry();
        }
        retried?;
        let fallback = self.publish(RETRY_EXCHANGE, redirects, args).await;
        redirects.iter_mut().for_each(|one| one.resolve_unroutable(on_unroutable));
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
            // The broker closed the channel over one message; the others can still be published.
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
        // RabbitMQ 3.10 may go on refusing messages of a channel although the queue is no longer
        // full (seen after the policy that limited it was deleted): use a new channel.
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
