//! The broker: reachable; exchanges and queues there, and as the consumer would declare them.

use amq_protocol::types::FieldTable;
use service_kit::amqp::{Depth, Failure, Goodbye};
use service_kit::broker::BrokerUrl;

use super::finding::{Check, Finding};
use super::permissions::{Missing, PERMISSIONS, check_permissions};
use super::waiting::{DEAD_LETTERS, RETRIES, check_dead_letters, check_retries};
use crate::consumer::broker::{Broker, in_time};
use crate::consumer::config::SubscriptionArgs;
use crate::consumer::rebuild::{MOVING, is_without_streams};
use crate::consumer::topology::{
    ACCESS_REFUSED, DEAD_LETTER_QUEUE, EMPTY_AND_DELETE, EXCHANGES, NOT_FOUND, PRECONDITION_FAILED,
    QUEUE, REBUILD, RETRY_QUEUE, arguments, retry_arguments, work_arguments,
};

const BROKER: &str = "broker";
const OBJECTS: [&str; 5] = ["exchanges", "queues", PERMISSIONS, DEAD_LETTERS, RETRIES];

/// The remedy for an exchange or a queue that does not exist and that the consumer does not declare.
const DECLARE: &str = "declare it, or let the consumer do so with CONSUMER_DECLARE=true";

pub(super) async fn check(url: &BrokerUrl, subscription: &SubscriptionArgs) -> Vec<Check> {
    let mut broker = Broker::new(url, "customer-service consumer: check");
    // The channel shows that one can be opened; each question has one of its own.
    if let Err(reason) = broker.channel().await {
        let fix = "see that the broker runs, that RABBITMQ_URL is right, and that its user may use its virtual host: rabbitmqctl list_permissions -p VHOST";
        let unreached = Finding::fail(format!("the broker can't be reached: {reason}"), fix);
        let mut checks = vec![Check::of(BROKER, vec![unreached], "")];
        checks.extend(OBJECTS.map(Check::skipped));
        return checks;
    }
    let mut checks = vec![Check::of(BROKER, Vec::new(), "it can be reached")];
    let looked = look(&broker, subscription, &mut checks).await;
    if let Err(reason) = looked {
        let name = OBJECTS[(checks.len() - 1).min(OBJECTS.len() - 1)];
        checks.push(Check::failed(name, reason));
        let left = OBJECTS.into_iter().skip(checks.len() - 1);
        checks.extend(left.map(Check::skipped));
    }
    broker.close().await;
    checks
}

/// Adds the [`OBJECTS`] in their order.
async fn look(
    broker: &Broker,
    subscription: &SubscriptionArgs,
    checks: &mut Vec<Check>,
) -> Result<(), String> {
    let mut findings = Vec::new();
    let mut missing = Missing::default();
    for (exchange, kind) in EXCHANGES {
        match ask(broker, Object::Exchange(exchange, kind)).await? {
            Found::Right | Found::Unknown => (),
            Found::Missing => missing.exchanges.push((exchange, kind)),
            Found::Differs(differs) => findings.push(Finding::warn(
                format!("the exchange {exchange} exists with other settings, and is used as it is: {differs}"),
                "nothing, if that is meant; else delete it, and the consumer declares it anew",
            )),
        }
    }
    let exchanges = missing.exchanges.iter().map(|(exchange, _)| format!("exchange {exchange}"));
    checks.push(of_objects(OBJECTS[0], findings, &exchanges.collect::<Vec<_>>(), subscription));

    let mut findings = Vec::new();
    for (queue, arguments, fix) in [
        (QUEUE, work_arguments(), REBUILD),
        (RETRY_QUEUE, retry_arguments(), EMPTY_AND_DELETE),
        (DEAD_LETTER_QUEUE, arguments([]), EMPTY_AND_DELETE),
    ] {
        match ask(broker, Object::Queue(queue, arguments)).await? {
            Found::Right | Found::Unknown => (),
            Found::Missing => missing.queues.push(queue),
            Found::Differs(differs) => {
                let finding = format!("the queue {queue} exists with other settings: {differs}");
                findings.push(Finding::warn(finding, fix));
            }
        }
    }
    if depth(broker, MOVING).await?.is_some() {
        findings.push(Finding::warn(
            format!("{MOVING} is there: rebuild-queue runs, or did not come to its end"),
            "stop all consumers and run customer-service consumer rebuild-queue",
        ));
    }
    if is_without_streams(broker).await? {
        findings.push(Finding::warn(
            "the feature flag stream_queue is disabled: the broker loses what it moves from one queue to another while that is missing or full",
            "rabbitmqctl enable_feature_flag stream_queue",
        ));
    }
    let queues: Vec<_> = missing.queues.iter().map(|queue| format!("queue {queue}")).collect();
    let mut queues = of_objects(OBJECTS[1], findings, &queues, subscription);
    if let Some(Depth { messages, consumers }) = depth(broker, QUEUE).await? {
        queues
            .add(&format!("{QUEUE} has {messages} messages that wait, and {consumers} consumers"));
    }
    checks.push(queues);
    checks.push(check_permissions(broker, &missing, subscription.consumer_declare).await);
    checks.push(check_dead_letters(depth(broker, DEAD_LETTER_QUEUE).await?));
    let waiting = depth(broker, RETRY_QUEUE).await?;
    checks.push(check_retries(broker, waiting, subscription.rabbitmq_retry_ttl_ms).await);
    Ok(())
}

/// The check of some exchanges or queues. A missing one is a finding only if the consumer does not declare it at its start.
fn of_objects(
    check: &'static str,
    mut findings: Vec<Finding>,
    missing: &[String],
    subscription: &SubscriptionArgs,
) -> Check {
    if !subscription.consumer_declare {
        let finding = |object| Finding::fail(format!("the {object} does not exist"), DECLARE);
        findings.extend(missing.iter().map(finding));
    }
    let note = match missing {
        [] => "they are there".to_owned(),
        missing => format!(
            "not there yet: the {}: the consumer declares them when it starts",
            missing.join(", the ")
        ),
    };
    Check::of(check, findings, note)
}

enum Object {
    Exchange(&'static str, &'static str),
    Queue(&'static str, FieldTable),
}

enum Found {
    Right,
    Missing,
    Differs(String),
    /// The broker does not tell, or not how it is: the user may not configure it.
    Unknown,
}

/// Asks whether it is there, and only then whether it is as the consumer would declare it: a declaration of what is there only compares.
async fn ask(broker: &Broker, object: Object) -> Result<Found, String> {
    let channel = broker.another_channel().await?;
    let is_there = in_time("answer", async {
        let asked = match &object {
            Object::Exchange(name, kind) => {
                channel.declare_exchange((*name).into(), kind, true).await
            }
            Object::Queue(name, _) => channel.depth(name).await.map(drop),
        };
        found(asked)
    });
    match is_there.await? {
        Found::Right => (),
        other => return Ok(other),
    }
    let declared = in_time("answer", async {
        found(match object {
            Object::Exchange(name, kind) => {
                channel.declare_exchange(name.into(), kind, false).await
            }
            Object::Queue(name, arguments) => channel.declare_queue(name, arguments).await,
        })
    });
    declared.await
}

fn found(asked: Result<(), Failure>) -> Result<Found, Failure> {
    match asked {
        Ok(()) => Ok(Found::Right),
        Err(Failure::Refused(Goodbye { code: NOT_FOUND, .. })) => Ok(Found::Missing),
        Err(Failure::Refused(Goodbye { code: ACCESS_REFUSED, .. })) => Ok(Found::Unknown),
        Err(Failure::Refused(Goodbye { code: PRECONDITION_FAILED, said })) => Ok(Found::Differs(
            said.strip_prefix("PRECONDITION_FAILED - ").unwrap_or(&said).to_owned(),
        )),
        Err(failure) => Err(failure),
    }
}

/// How many messages and consumers a queue has; none when the queue does not exist or this user may not ask for it.
async fn depth(broker: &Broker, queue: &str) -> Result<Option<Depth>, String> {
    let channel = broker.another_channel().await?;
    in_time("answer", async {
        match channel.depth(queue).await {
            Err(Failure::Refused(Goodbye { code: NOT_FOUND | ACCESS_REFUSED, .. })) => Ok(None),
            asked => asked.map(Some),
        }
    })
    .await
}
