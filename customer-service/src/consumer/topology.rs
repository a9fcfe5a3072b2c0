//! Declares the exchanges and queues that the consumer needs. Their names and kinds are a contract with everybody else.

use amq_protocol::types::{AMQPValue, FieldTable};
use service_kit::amqp::{Channel, Failure};

/// Where services publish their events; declared here too, so that it does not matter who starts first.
pub(super) const EVENTS_EXCHANGE: &str = "orders.events";

/// The events that wait to be counted.
pub(super) const QUEUE: &str = "customer.orders_count";

/// Messages published here with [`QUEUE`] as routing key wait, each for its own `expiration`, and return to that queue.
pub(super) const RETRY_EXCHANGE: &str = "orders.retry";

/// Messages published here with [`QUEUE`] as routing key wait for a person.
pub(super) const DEAD_LETTER_EXCHANGE: &str = "orders.dlx";

/// Where those wait that are tried again.
pub(super) const RETRY_QUEUE: &str = "customer.orders_count.retry";

/// Where they wait.
pub(super) const DEAD_LETTER_QUEUE: &str = "customer.orders_count.dlq";

/// All events of orders; those that change nothing here are counted and left.
const BINDING: &str = "order.*";

/// RabbitMQ 4 drops a message after 20 returns unless told otherwise, and 3.10 reads -1 as "at the first". A message that was
/// returned because a consumer died is no worse than any other (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>).
const DELIVERY_LIMIT: i32 = i32::MAX;

/// Declares everything. What exists already stays as it is.
///
/// # Errors
/// With a sentence that says which exchange or queue is the matter, what the broker says and what to do. The channel is
/// closed then.
pub(super) async fn declare(channel: &Channel) -> Result<(), String> {
    exchange(channel, EVENTS_EXCHANGE, "topic").await?;
    exchange(channel, RETRY_EXCHANGE, "direct").await?;
    exchange(channel, DEAD_LETTER_EXCHANGE, "direct").await?;

    let limit = ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT));
    queue(channel, QUEUE, [limit]).await?;
    // Here the broker moves messages by itself, when their time has come: at-least-once keeps each until the work queue has
    // confirmed it, and needs reject-publish (https://www.rabbitmq.com/docs/quorum-queues#dead-lettering). The default
    // exchange leads to that queue alone: through orders.events every other subscriber would get the event again.
    let back = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(QUEUE)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ];
    queue(channel, RETRY_QUEUE, back).await?;
    queue(channel, DEAD_LETTER_QUEUE, []).await?;

    bind(channel, RETRY_QUEUE, RETRY_EXCHANGE, QUEUE).await?;
    bind(channel, DEAD_LETTER_QUEUE, DEAD_LETTER_EXCHANGE, QUEUE).await?;
    // Last: from here on messages arrive, and everything that may have to take them is there.
    bind(channel, QUEUE, EVENTS_EXCHANGE, BINDING).await
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

async fn exchange(channel: &Channel, name: &str, kind: &str) -> Result<(), String> {
    let declared = channel.declare_exchange(name.into(), kind, false).await;
    declared.map_err(|failure| explain(&format!("exchange {name}"), &failure))
}

async fn queue<const N: usize>(
    channel: &Channel,
    name: &str,
    arguments: [(&str, AMQPValue); N],
) -> Result<(), String> {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    for (argument, value) in arguments {
        table.insert(argument.into(), value);
    }
    let declared = channel.declare_queue(name, table).await;
    declared.map_err(|failure| explain(&format!("queue {name}"), &failure))
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<(), String> {
    let bound = channel.bind_queue(queue, exchange, key).await;
    bound.map_err(|failure| explain(&format!("binding of {queue} to {exchange}"), &failure))
}

/// The broker names what differs: "inequivalent arg 'x-queue-type' for queue '…' in vhost '…': received … but current is …".
fn explain(object: &str, failure: &Failure) -> String {
    const PRECONDITION_FAILED: u16 = 406;
    match failure {
        Failure::Refused(refusal) if refusal.code == PRECONDITION_FAILED => {
            let text = refusal.said.as_str();
            let differs = text.strip_prefix("PRECONDITION_FAILED - ").unwrap_or(text);
            format!(
                "{object} exists already, but otherwise than it has to be: {differs}; empty it and delete it, and it \
                 will be declared anew by itself"
            )
        }
        _ => format!("{object} can't be declared: {failure}"),
    }
}
