//! The consumer's three queues: events, those that wait for a retry, and dead letters.

use anyhow::ensure;
use lapin::message::Delivery;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Confirmation, ExchangeKind};

use crate::headers;
use crate::settings::Settings;

/// The delivery limit: a message that crashes the consumer this often is dead-lettered.
const MAX_RETURNS: i32 = 20;

/// The queues of a consumer, on a channel in confirm mode.
pub struct Queues<'a> {
    channel: Channel,
    retry: String,
    dead_letters: String,
    settings: &'a Settings,
}

impl<'a> Queues<'a> {
    /// Declares the queues and binds the first with `keys`.
    pub async fn declare(
        channel: Channel,
        name: &str,
        keys: &[&str],
        settings: &'a Settings,
    ) -> anyhow::Result<Self> {
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let queues = Self {
            channel,
            retry: format!("{name}.retry"),
            dead_letters: format!("{name}.dlq"),
            settings,
        };
        queues.declare_queue(&queues.dead_letters, []).await?;
        // Expired messages return to this queue alone: through the exchange every subscriber would
        // get them again.
        queues.declare_queue(&queues.retry, forward_to(name)).await?;
        let limit = ("x-delivery-limit", AMQPValue::LongInt(MAX_RETURNS));
        let arguments = forward_to(&queues.dead_letters).into_iter().chain([limit]);
        queues.declare_queue(name, arguments).await?;

        let exchange: ShortString = settings.exchange.as_str().into();
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let (channel, none) = (&queues.channel, FieldTable::default());
        channel
            .exchange_declare(exchange.clone(), ExchangeKind::Topic, durable, none.clone())
            .await?;
        for key in keys {
            let (key, options) = ((*key).into(), QueueBindOptions::default());
            channel.queue_bind(name.into(), exchange.clone(), key, options, none.clone()).await?;
        }
        Ok(queues)
    }

    async fn declare_queue(
        &self,
        queue: &str,
        arguments: impl IntoIterator<Item = (&'static str, AMQPValue)>,
    ) -> lapin::Result<()> {
        let mut table = FieldTable::default();
        table.insert("x-queue-type".into(), text("quorum"));
        for (name, value) in arguments {
            table.insert(name.into(), value);
        }
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_declare(queue.into(), durable, table).await?;
        Ok(())
    }

    /// Publishes a copy to the retry queue or, if no retry is left, to the dead-letter queue.
    /// Returns when the broker has confirmed it; fails if it was refused or no queue took it.
    pub async fn redirect(
        &self,
        original: &Delivery,
        reason: &str,
        can_retry: bool,
    ) -> anyhow::Result<()> {
        let retries = headers::retry_count(original);
        let is_retry = can_retry && retries < self.settings.max_retries;
        let headers = headers::for_copy(original, reason, retries, is_retry);
        let mut properties = headers::copy_properties(&original.properties).with_headers(headers);
        let queue = if is_retry { &self.retry } else { &self.dead_letters };
        if is_retry {
            properties = properties.with_expiration(self.settings.retry_ttl_ms.to_string().into());
        }
        let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
        // One message is in flight at a time: lapin may attribute a return to another one.
        let confirm = self
            .channel
            .basic_publish("".into(), queue.as_str().into(), mandatory, &original.data, properties)
            .await?
            .await?;
        ensure!(confirm == Confirmation::Ack(None), "{queue} did not take a message: {confirm:?}");
        eprintln!("event {:?} went to {queue}: {reason:?}", original.properties.message_id());
        Ok(())
    }
}

/// at-least-once: a message is kept until the next queue has it. Needs reject-publish.
fn forward_to(queue: &str) -> [(&'static str, AMQPValue); 4] {
    [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(queue)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
