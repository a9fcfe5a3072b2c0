//! Declares the exchanges and queues that the consumer needs. Their names and kinds are a contract with everybody else.

use amq_protocol::types::{AMQPValue, FieldTable};
use service_kit::amqp::{Channel, Failure, Goodbye};

use super::broker::Broker;

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

/// Where those wait that a person has to look at.
pub(super) const DEAD_LETTER_QUEUE: &str = "customer.orders_count.dlq";

/// All events of orders; those that change nothing here are counted and left.
pub(super) const BINDING: &str = "order.*";

/// Exchanges, with their types.
pub(super) const EXCHANGES: [(&str, &str); 3] =
    [(EVENTS_EXCHANGE, "topic"), (RETRY_EXCHANGE, "direct"), (DEAD_LETTER_EXCHANGE, "direct")];

/// Queues.
pub(super) const QUEUES: [&str; 3] = [QUEUE, RETRY_QUEUE, DEAD_LETTER_QUEUE];

/// What leads from an exchange to a queue.
pub(super) struct Binding {
    pub(super) queue: &'static str,
    pub(super) exchange: &'static str,
    pub(super) key: &'static str,
}

/// Bindings, the work queue's last: from then on messages arrive, and everything that may have to take them is there.
pub(super) const BINDINGS: [Binding; 3] = [
    Binding { queue: RETRY_QUEUE, exchange: RETRY_EXCHANGE, key: QUEUE },
    Binding { queue: DEAD_LETTER_QUEUE, exchange: DEAD_LETTER_EXCHANGE, key: QUEUE },
    Binding { queue: QUEUE, exchange: EVENTS_EXCHANGE, key: BINDING },
];

/// RabbitMQ 4 drops a message after 20 returns unless told otherwise, and 3.10 reads -1 as "at the first". A message that was
/// returned because a consumer died is no worse than any other (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>).
const DELIVERY_LIMIT: i32 = i32::MAX;

/// Reply codes with which RabbitMQ closes a channel over a request (<https://www.rabbitmq.com/amqp-0-9-1-reference#constants>).
pub(super) const ACCESS_REFUSED: u16 = 403;
pub(super) const NOT_FOUND: u16 = 404;
pub(super) const PRECONDITION_FAILED: u16 = 406;

/// How the work queue comes by the arguments that it should have.
pub(super) const REBUILD: &str = "once no consumer of an earlier release runs, stop all consumers and run customer-service consumer rebuild-queue";

/// The same of the other queues.
pub(super) const EMPTY_AND_DELETE: &str =
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

/// Declares everything on a connection. What exists already stays as it is, and serves as well as it may.
struct Declaring<'a> {
    broker: &'a Broker,
    channel: Channel,
    found: Topology,
}

/// Declares everything; returns the channel to go on with, as the broker closes one over each declaration that it refuses, and what is
/// there.
///
/// # Errors
/// With a sentence that says which exchange or queue is missing and can't be declared, and what the broker says.
pub(super) async fn declare(
    broker: &Broker,
    channel: Channel,
) -> Result<(Channel, Topology), String> {
    let mut declaring = Declaring { broker, channel, found: Topology::default() };
    for (exchange, kind) in EXCHANGES {
        declaring.exchange(exchange, kind).await?;
    }
    if let Some(differs) = declaring.queue(QUEUE, work_arguments()).await? {
        // An earlier release declared it with the limit alone.
        let risk = if declaring.queue(QUEUE, arguments([delivery_limit()])).await?.is_none() {
            "a policy that takes messages out of it loses them"
        } else {
            "a policy that takes messages out of it loses them, and RabbitMQ 4 may drop those that come back to it 20 times"
        };
        declaring.differs(&differs, risk, REBUILD);
    }
    if let Some(differs) = declaring.queue(RETRY_QUEUE, retry_arguments()).await? {
        declaring.found.retry_queue_mismatch =
            Some(format!("nothing is sent to {RETRY_QUEUE}, as it might not come back: {differs}"));
        declaring.differs(
            &differs,
            "messages might not come back from it, and none is sent there",
            EMPTY_AND_DELETE,
        );
    }
    if let Some(differs) = declaring.queue(DEAD_LETTER_QUEUE, arguments([])).await? {
        declaring.differs(&differs, "it may not keep what is sent there", EMPTY_AND_DELETE);
    }

    for Binding { queue, exchange, key } in BINDINGS {
        declaring.bind(queue, exchange, key).await?;
    }
    Ok((declaring.channel, declaring.found))
}

/// The arguments of the work queue. From it the broker moves only what a policy takes out of it: a time to live, a length, a number of deliveries.
pub(super) fn work_arguments() -> FieldTable {
    let to_dead_letters = dead_letters_to(DEAD_LETTER_EXCHANGE, QUEUE);
    arguments(to_dead_letters.into_iter().chain([delivery_limit()]))
}

/// The arguments of the retry queue: messages go to the work queue when their time has come. The default exchange leads there alone: through
/// orders.events every other subscriber would get the event again.
pub(super) fn retry_arguments() -> FieldTable {
    arguments(dead_letters_to("", QUEUE))
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

impl Declaring<'_> {
    async fn exchange(&mut self, name: &str, kind: &str) -> Result<(), String> {
        let declared = self.channel.declare_exchange(name.into(), kind, false).await;
        let is_there =
            async |channel: &Channel| channel.declare_exchange(name.into(), kind, true).await;
        if let Some(differs) =
            self.or_take_as_it_is(&format!("exchange {name}"), declared, is_there).await?
        {
            self.found.deviations.push(format!("{differs}; it is used as it is"));
        }
        Ok(())
    }

    fn differs(&mut self, differs: &str, risk: &str, remedy: &str) {
        self.found.deviations.push(format!("{differs}; as it is, {risk}: {remedy}"));
    }

    /// Says what differs, if there is one with other arguments.
    async fn queue(&mut self, name: &str, arguments: FieldTable) -> Result<Option<String>, String> {
        let declared = self.channel.declare_queue(name, arguments).await;
        let is_there = async |channel: &Channel| channel.depth(name).await.map(drop);
        self.or_take_as_it_is(&format!("queue {name}"), declared, is_there).await
    }

    /// Nobody can ask whether a binding is there: one that may not be made is assumed to be. If it is missing, the broker returns what is
    /// published.
    async fn bind(&mut self, queue: &str, exchange: &str, key: &str) -> Result<(), String> {
        let binding = format!("binding of {queue} to {exchange} with {key}");
        match self.channel.bind_queue(queue, exchange, key).await {
            Err(Failure::Refused(Goodbye { code: ACCESS_REFUSED, said })) => {
                self.found.deviations.push(format!(
                    "{binding} can't be declared, and is assumed to be there: {said}"
                ));
                self.channel = self.broker.another_channel().await?;
                Ok(())
            }
            bound => bound.map_err(|failure| explain(&binding, &failure)),
        }
    }

    /// A declaration that the broker refuses is no reason to stop while there is something of that name. Says what differs, if that is known.
    async fn or_take_as_it_is(
        &mut self,
        object: &str,
        declared: Result<(), Failure>,
        is_there: impl AsyncFnOnce(&Channel) -> Result<(), Failure>,
    ) -> Result<Option<String>, String> {
        let Err(failure) = declared else {
            return Ok(None);
        };
        let reason = explain(object, &failure);
        let Failure::Refused(Goodbye {
            code: code @ (ACCESS_REFUSED | PRECONDITION_FAILED), ..
        }) = failure
        else {
            return Err(reason);
        };
        self.channel = self.broker.another_channel().await?;
        match is_there(&self.channel).await {
            Ok(()) => (),
            Err(Failure::Refused(Goodbye { code: ACCESS_REFUSED, .. })) => {
                // It may not be asked for either: its use will tell.
                self.channel = self.broker.another_channel().await?;
            }
            Err(Failure::Refused(Goodbye { code: NOT_FOUND, .. })) => return Err(reason),
            Err(failure) => return Err(failure.to_string()),
        }
        if code == PRECONDITION_FAILED {
            return Ok(Some(reason));
        }
        self.found.deviations.push(reason);
        Ok(None)
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// The broker names what differs: "inequivalent arg 'x-queue-type' for queue '…' in vhost '…': received … but current is …".
fn explain(object: &str, failure: &Failure) -> String {
    match failure {
        Failure::Refused(Goodbye { code: PRECONDITION_FAILED, said })
            if said.contains("inequivalent arg") =>
        {
            let differs = said.strip_prefix("PRECONDITION_FAILED - ").unwrap_or(said);
            format!("{object} already exists with other settings: {differs}")
        }
        _ => format!("{object} can't be declared: {failure}"),
    }
}
