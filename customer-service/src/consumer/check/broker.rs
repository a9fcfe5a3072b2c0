//! Checks of the broker: it is reachable, and its exchanges and queues are as the consumer declares
//! them.

use amq_protocol::types::FieldTable;
use amqp::BrokerUrl;
use amqp::{CloseReason, Failure, QueueDepth};

use super::backlog::{DEAD_LETTERS, RETRIES, check_dead_letters, check_retries};
use super::permissions::{Missing, PERMISSIONS, check_permissions};
use super::report::{CheckResult, Finding};
use crate::consumer::broker::{
    ACCESS_REFUSED, Broker, NOT_FOUND, PRECONDITION_FAILED, with_timeout,
};
use crate::consumer::config::SubscriptionArgs;
use crate::consumer::rebuild::{MOVING_QUEUE, lacks_stream_queues};
use crate::consumer::topology::{
    DEAD_LETTER_QUEUE, DELETE_REMEDY, EXCHANGES, REBUILD_REMEDY, RETRY_QUEUE, WORK_QUEUE,
    arguments, retry_arguments, work_arguments,
};

const BROKER: &str = "broker";
const OBJECTS: [&str; 5] = ["exchanges", "queues", PERMISSIONS, DEAD_LETTERS, RETRIES];

/// The remedy for an exchange or a queue that does not exist and that the consumer does not
/// declare.
const DECLARE: &str = "declare it, or let the consumer do so with CONSUMER_DECLARE=true";

pub(super) async fn check(url: &BrokerUrl, subscription: &SubscriptionArgs) -> Vec<CheckResult> {
    let mut broker = Broker::new(url, "customer-service consumer: check");
    // Each check below opens a channel of its own.
    if let Err(reason) = broker.connect().await {
        let fix = "check that the broker runs, that RABBITMQ_URL is right, and that its user may use its virtual host: rabbitmqctl list_permissions -p VHOST";
        let unreachable = Finding::fail(format!("the broker can't be reached: {reason}"), fix);
        let mut checks = vec![CheckResult::new(BROKER, vec![unreachable], "")];
        checks.extend(OBJECTS.map(CheckResult::skipped));
        return checks;
    }
    let mut checks = vec![CheckResult::new(BROKER, Vec::new(), "it can be reached")];
    let checked = check_objects(&broker, subscription, &mut checks).await;
    if let Err(reason) = checked {
        let name = OBJECTS[(checks.len() - 1).min(OBJECTS.len() - 1)];
        checks.push(CheckResult::failed(name, reason));
        let left = OBJECTS.into_iter().skip(checks.len() - 1);
        checks.extend(left.map(CheckResult::skipped));
    }
    broker.close().await;
    checks
}

/// Adds the results of [`OBJECTS`], in that order.
async fn check_objects(
    broker: &Broker,
    subscription: &SubscriptionArgs,
    checks: &mut Vec<CheckResult>,
) -> Result<(), String> {
    let mut findings = Vec::new();
    let mut missing = Missing::default();
    for (exchange, kind) in EXCHANGES {
        match compare(broker, Object::Exchange(exchange, kind)).await? {
            Comparison::Matches | Comparison::Unknown => (),
            Comparison::Missing => missing.exchanges.push((exchange, kind)),
            Comparison::Differs(differs) => findings.push(Finding::warn(
                format!("the exchange {exchange} exists with other settings, and is used as it is: {differs}"),
                "nothing, if that is intended; else delete it, and the consumer declares it again",
            )),
        }
    }
    let exchanges = missing.exchanges.iter().map(|(exchange, _)| format!("exchange {exchange}"));
    checks.push(objects_result(OBJECTS[0], findings, &exchanges.collect::<Vec<_>>(), subscription));

    let mut findings = Vec::new();
    for (queue, arguments, fix) in [
        (WORK_QUEUE, work_arguments(), REBUILD_REMEDY),
        (RETRY_QUEUE, retry_arguments(), DELETE_REMEDY),
        (DEAD_LETTER_QUEUE, arguments([]), DELETE_REMEDY),
    ] {
        match compare(broker, Object::Queue(queue, arguments)).await? {
            Comparison::Matches | Comparison::Unknown => (),
            Comparison::Missing => missing.queues.push(queue),
            Comparison::Differs(differs) => {
                let finding = format!("the queue {queue} exists with other settings: {differs}");
                findings.push(Finding::warn(finding, fix));
            }
        }
    }
    if depth(broker, MOVING_QUEUE).await?.is_some() {
        findings.push(Finding::warn(
            format!("{MOVING_QUEUE} exists: rebuild-queue runs, or was interrupted"),
            "stop all consumers and run customer-service consumer rebuild-queue",
        ));
    }
    if lacks_stream_queues(broker).await? {
        findings.push(Finding::warn(
            "the feature flag stream_queue is disabled: the broker loses messages that it dead-letters to a queue that is missing or full",
            "rabbitmqctl enable_feature_flag stream_queue",
        ));
    }
    let queues: Vec<_> = missing.queues.iter().map(|queue| format!("queue {queue}")).collect();
    let mut queues = objects_result(OBJECTS[1], findings, &queues, subscription);
    if let Some(QueueDepth { messages, consumers }) = depth(broker, WORK_QUEUE).await? {
        queues.add(&format!(
            "{WORK_QUEUE} has {messages} messages that wait, and {consumers} consumers"
        ));
    }
    checks.push(queues);
    checks.push(check_permissions(broker, &missing, subscription.consumer_declare).await);
    checks.push(check_dead_letters(depth(broker, DEAD_LETTER_QUEUE).await?));
    let waiting = depth(broker, RETRY_QUEUE).await?;
    checks.push(check_retries(broker, waiting, subscription.rabbitmq_retry_ttl_ms).await);
    Ok(())
}

/// The result of checking exchanges or queues. A missing one is a finding only if the consumer does
/// not declare it.
fn objects_result(
    check: &'static str,
    mut findings: Vec<Finding>,
    missing: &[String],
    subscription: &SubscriptionArgs,
) -> CheckResult {
    if !subscription.consumer_declare {
        let finding = |object| Finding::fail(format!("the {object} does not exist"), DECLARE);
        findings.extend(missing.iter().map(finding));
    }
    let note = match missing {
        [] => "they exist".to_owned(),
        missing => format!(
            "missing: the {}; the consumer declares them when it starts",
            missing.join(", the ")
        ),
    };
    CheckResult::new(check, findings, note)
}

enum Object {
    Exchange(&'static str, &'static str),
    Queue(&'static str, FieldTable),
}

enum Comparison {
    Matches,
    Missing,
    Differs(String),
    /// The broker does not tell, as the user may not configure the object.
    Unknown,
}

/// Asks whether an object exists, and only then declares it: that compares an existing object and
/// changes nothing.
async fn compare(broker: &Broker, object: Object) -> Result<Comparison, String> {
    let channel = broker.open_channel().await?;
    let is_there = with_timeout("answer", async {
        let asked = match &object {
            Object::Exchange(name, kind) => {
                channel.declare_exchange((*name).into(), kind, true).await
            }
            Object::Queue(name, _) => channel.depth(name).await.map(drop),
        };
        comparison(asked)
    });
    match is_there.await? {
        Comparison::Matches => (),
        other => return Ok(other),
    }
    let declared = with_timeout("answer", async {
        comparison(match object {
            Object::Exchange(name, kind) => {
                channel.declare_exchange(name.into(), kind, false).await
            }
            Object::Queue(name, arguments) => channel.declare_queue(name, arguments).await,
        })
    });
    declared.await
}

fn comparison(asked: Result<(), Failure>) -> Result<Comparison, Failure> {
    match asked {
        Ok(()) => Ok(Comparison::Matches),
        Err(Failure::Refused(CloseReason { code: NOT_FOUND, .. })) => Ok(Comparison::Missing),
        Err(Failure::Refused(CloseReason { code: ACCESS_REFUSED, .. })) => Ok(Comparison::Unknown),
        Err(Failure::Refused(CloseReason { code: PRECONDITION_FAILED, text })) => {
            Ok(Comparison::Differs(
                text.strip_prefix("PRECONDITION_FAILED - ").unwrap_or(&text).to_owned(),
            ))
        }
        Err(failure) => Err(failure),
    }
}

/// The messages and consumers of a queue, or `None` when it does not exist or the user may not ask
/// for it.
async fn depth(broker: &Broker, queue: &str) -> Result<Option<QueueDepth>, String> {
    let channel = broker.open_channel().await?;
    with_timeout("answer", async {
        match channel.depth(queue).await {
            Err(Failure::Refused(CloseReason { code: NOT_FOUND | ACCESS_REFUSED, .. })) => Ok(None),
            asked => asked.map(Some),
        }
    })
    .await
}
