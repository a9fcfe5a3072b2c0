//! The exchanges, queues and bindings, with their arguments. Other systems depend on them.

use amq_protocol::types::{AMQPValue, FieldTable};

/// The exchange to which services publish their events. Declared here too, so that the order of
/// starts does not matter.
pub(in crate::consumer) const EVENTS_EXCHANGE: &str = "orders.events";

/// The queue of events that wait to be counted.
pub(in crate::consumer) const WORK_QUEUE: &str = "customer.orders_count";

/// The exchange of the retry queue. The routing key is [`WORK_QUEUE`], to which messages return
/// after their `expiration`.
pub(in crate::consumer) const RETRY_EXCHANGE: &str = "orders.retry";

/// The exchange of the dead-letter queue. The routing key is [`WORK_QUEUE`].
pub(in crate::consumer) const DEAD_LETTER_EXCHANGE: &str = "orders.dlx";

/// The queue in which messages wait for their next try.
pub(in crate::consumer) const RETRY_QUEUE: &str = "customer.orders_count.retry";

/// The queue in which messages wait for a person.
pub(in crate::consumer) const DEAD_LETTER_QUEUE: &str = "customer.orders_count.dlq";

/// The binding key of the work queue: all events of orders, of which some are ignored.
pub(in crate::consumer) const WORK_BINDING_KEY: &str = "order.*";

/// Exchanges, with their types.
pub(in crate::consumer) const EXCHANGES: [(&str, &str); 3] =
    [(EVENTS_EXCHANGE, "topic"), (RETRY_EXCHANGE, "direct"), (DEAD_LETTER_EXCHANGE, "direct")];

/// Queues.
pub(super) const QUEUES: [&str; 3] = [WORK_QUEUE, RETRY_QUEUE, DEAD_LETTER_QUEUE];

/// A binding of a queue to an exchange.
pub(super) struct Binding {
    pub(super) queue: &'static str,
    pub(super) exchange: &'static str,
    pub(super) key: &'static str,
}

/// Bindings. The work queue's is the last: once messages arrive, the other queues are ready.
pub(super) const BINDINGS: [Binding; 3] = [
    Binding { queue: RETRY_QUEUE, exchange: RETRY_EXCHANGE, key: WORK_QUEUE },
    Binding { queue: DEAD_LETTER_QUEUE, exchange: DEAD_LETTER_EXCHANGE, key: WORK_QUEUE },
    Binding { queue: WORK_QUEUE, exchange: EVENTS_EXCHANGE, key: WORK_BINDING_KEY },
];

/// By default RabbitMQ 4 drops a message after 20 returns, and 3.10 takes -1 for 0. A message that
/// returned because a consumer crashed is as good as any other
/// (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>).
const DELIVERY_LIMIT: i32 = i32::MAX;

/// What to do about a work queue with other arguments.
pub(in crate::consumer) const REBUILD_REMEDY: &str = "once no consumer of an earlier release runs, stop all consumers and run customer-service consumer rebuild-queue";

/// What to do about another queue with other arguments.
pub(in crate::consumer) const DELETE_REMEDY: &str =
    "empty and delete it; the consumer declares it again";

/// What the broker has, compared with what the consumer declares.
#[derive(Debug, Default)]
pub(in crate::consumer) struct Topology {
    /// The differences, in words.
    pub(in crate::consumer) deviations: Vec<String>,
    /// Why messages might not return from the retry queue.
    pub(in crate::consumer) retry_queue_mismatch: Option<String>,
    /// Bindings that were not declared, and that AMQP can't verify.
    pub(in crate::consumer) assumed_bindings: Option<String>,
}

/// The arguments of the work queue. The broker dead-letters from it only what a policy removes: by
/// a TTL, a length or a delivery limit.
pub(in crate::consumer) fn work_arguments() -> FieldTable {
    let to_dead_letters = dead_letters_to(DEAD_LETTER_EXCHANGE, WORK_QUEUE);
    arguments(to_dead_letters.into_iter().chain([delivery_limit()]))
}

/// The arguments of the retry queue. Expired messages go through the default exchange to the work
/// queue alone: through `orders.events` all other subscribers would get them again.
pub(in crate::consumer) fn retry_arguments() -> FieldTable {
    arguments(dead_letters_to("", WORK_QUEUE))
}

/// Dead-lettering that keeps each message until the other queue has confirmed it: `at-least-once`,
/// which needs `reject-publish` (<https://www.rabbitmq.com/docs/quorum-queues#dead-lettering>).
fn dead_letters_to(exchange: &str, key: &str) -> [(&'static str, AMQPValue); 4] {
    [
        ("x-dead-letter-exchange", text(exchange)),
        ("x-dead-letter-routing-key", text(key)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]
}

pub(super) const fn delivery_limit() -> (&'static str, AMQPValue) {
    ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT))
}

/// The arguments of a quorum queue, with `further` ones.
pub(in crate::consumer) fn arguments(
    further: impl IntoIterator<Item = (&'static str, AMQPValue)>,
) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    for (argument, value) in further {
        table.insert(argument.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
