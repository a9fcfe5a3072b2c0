//! The exchanges, queues and bindings that the consumer needs. Their names, types and arguments are a
//! contract with other systems.
//!
//! | file | what it does |
//! |---|---|
//! | `declare` | declares all of them |
//! | `verify` | checks that they exist, for `CONSUMER_DECLARE=false` |

mod declare;
mod verify;

use amq_protocol::types::{AMQPValue, FieldTable};

pub(super) use declare::declare;
pub(super) use verify::verify;

/// Where services publish their events; declared here too, so that it does not matter who starts first.
pub(super) const EVENTS_EXCHANGE: &str = "orders.events";

/// The events that wait to be counted.
pub(super) const WORK_QUEUE: &str = "customer.orders_count";

/// Messages published here with [`WORK_QUEUE`] as routing key wait, each for its own `expiration`, and return to that queue.
pub(super) const RETRY_EXCHANGE: &str = "orders.retry";

/// Messages published here with [`WORK_QUEUE`] as routing key wait for a person.
pub(super) const DEAD_LETTER_EXCHANGE: &str = "orders.dlx";

/// Where those wait that are tried again.
pub(super) const RETRY_QUEUE: &str = "customer.orders_count.retry";

/// Where those wait that a person has to look at.
pub(super) const DEAD_LETTER_QUEUE: &str = "customer.orders_count.dlq";

/// All events of orders; those that change nothing here are counted and left.
pub(super) const WORK_BINDING_KEY: &str = "order.*";

/// Exchanges, with their types.
pub(super) const EXCHANGES: [(&str, &str); 3] =
    [(EVENTS_EXCHANGE, "topic"), (RETRY_EXCHANGE, "direct"), (DEAD_LETTER_EXCHANGE, "direct")];

/// Queues.
pub(super) const QUEUES: [&str; 3] = [WORK_QUEUE, RETRY_QUEUE, DEAD_LETTER_QUEUE];

/// What leads from an exchange to a queue.
pub(super) struct Binding {
    pub(super) queue: &'static str,
    pub(super) exchange: &'static str,
    pub(super) key: &'static str,
}

/// Bindings, the work queue's last: from then on messages arrive, and everything that may have to take them is there.
pub(super) const BINDINGS: [Binding; 3] = [
    Binding { queue: RETRY_QUEUE, exchange: RETRY_EXCHANGE, key: WORK_QUEUE },
    Binding { queue: DEAD_LETTER_QUEUE, exchange: DEAD_LETTER_EXCHANGE, key: WORK_QUEUE },
    Binding { queue: WORK_QUEUE, exchange: EVENTS_EXCHANGE, key: WORK_BINDING_KEY },
];

/// RabbitMQ 4 drops a message after 20 returns unless told otherwise, and 3.10 reads -1 as "at the first". A message that was
/// returned because a consumer died is no worse than any other (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>).
const DELIVERY_LIMIT: i32 = i32::MAX;

/// How the work queue comes by the arguments that it should have.
pub(super) const REBUILD_REMEDY: &str = "once no consumer of an earlier release runs, stop all consumers and run customer-service consumer rebuild-queue";

/// The same of the other queues.
pub(super) const DELETE_REMEDY: &str =
    "empty it and delete it, and it will be declared anew by itself";

/// What was found to be there.
#[derive(Debug, Default)]
pub(super) struct Topology {
    /// For people: what is otherwise than it should be.
    pub(super) deviations: Vec<String>,
    /// Why a message in the retry queue might not come back.
    pub(super) retry_queue_mismatch: Option<String>,
    /// Bindings that the consumer did not make, and can't ask for.
    pub(super) assumed_bindings: Option<String>,
}

/// The arguments of the work queue. From it the broker moves only what a policy takes out of it: a time to live, a length, a number of deliveries.
pub(super) fn work_arguments() -> FieldTable {
    let to_dead_letters = dead_letters_to(DEAD_LETTER_EXCHANGE, WORK_QUEUE);
    arguments(to_dead_letters.into_iter().chain([delivery_limit()]))
}

/// The arguments of the retry queue: messages go to the work queue when their time has come. The default exchange leads there alone: through
/// orders.events every other subscriber would get the event again.
pub(super) fn retry_arguments() -> FieldTable {
    arguments(dead_letters_to("", WORK_QUEUE))
}

/// Where the broker moves messages by itself, at-least-once keeps each until the other queue has confirmed it, and needs reject-publish
/// (<https://www.rabbitmq.com/docs/quorum-queues#dead-lettering>).
fn dead_letters_to(exchange: &str, key: &str) -> [(&'static str, AMQPValue); 4] {
    [
        ("x-dead-letter-exchange", text(exchange)),
        ("x-dead-letter-routing-key", text(key)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]
}

const fn delivery_limit() -> (&'static str, AMQPValue) {
    ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT))
}

/// The arguments of a quorum queue, and further ones.
pub(super) fn arguments(
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
