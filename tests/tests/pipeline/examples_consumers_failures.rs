//! What the consumers in `examples/` do with events that they can't apply.

use std::time::Duration;

use anyhow::Context as _;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::options::{BasicPublishOptions, QueueDeleteOptions};
use lapin::types::AMQPValue;
use pipeline_tests::broker_user::BrokerUser;
use pipeline_tests::example_consumer::{
    BALANCES, ExampleConsumer, Program, SHIPMENTS, TURNOVER, Work,
};
use pipeline_tests::outbox::{EXCHANGE, eventually};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

type Tested = anyhow::Result<()>;

const TMP: &str = env!("CARGO_TARGET_TMPDIR");

/// The outbox has an event that was published without it, for the comparison at the end.
const KNOWN: &str =
    "INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, published_at)
                     VALUES ($1, 'other', 'other', 'other.type', '{}', now())";

const SOON: [(&str, &str); 2] = [("RABBITMQ_RETRY_TTL_MS", "100"), ("RABBITMQ_MAX_RETRIES", "2")];

fn header<'a>(message: &'a Delivery, name: &str) -> Option<&'a AMQPValue> {
    message.properties.headers().as_ref()?.inner().get(name)
}

fn text(message: &Delivery, name: &str) -> anyhow::Result<String> {
    let value = header(message, name).with_context(|| format!("no header {name}"))?;
    Ok(value.as_long_string().with_context(|| format!("{name} is no string"))?.to_string())
}

/// Clients write small numbers in the fewest bytes.
fn number(message: &Delivery, name: &str) -> anyhow::Result<i64> {
    match header(message, name) {
        Some(AMQPValue::ShortShortInt(number)) => Ok(i64::from(*number)),
        Some(AMQPValue::ShortInt(number)) => Ok(i64::from(*number)),
        Some(AMQPValue::LongInt(number)) => Ok(i64::from(*number)),
        Some(AMQPValue::LongLongInt(number)) => Ok(*number),
        other => anyhow::bail!("{name} is {other:?}"),
    }
}

fn time(message: &Delivery, name: &str) -> anyhow::Result<OffsetDateTime> {
    Ok(OffsetDateTime::parse(&text(message, name)?, &Rfc3339)?)
}

async fn take_dead_letter(example: &ExampleConsumer) -> anyhow::Result<Delivery> {
    let mut dead = Vec::new();
    eventually("there is a dead letter", async || {
        dead = example.outbox.take_all(&example.dead_letter_queue()).await?;
        Ok(!dead.is_empty())
    })
    .await?;
    assert_eq!(dead.len(), 1);
    Ok(dead.remove(0).delivery)
}

async fn publish(
    example: &ExampleConsumer,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Tested {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let channel = &example.outbox.channel;
    channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?.await?;
    Ok(())
}

/// After its retries an event becomes a dead letter with all headers; moved back, it is applied.
async fn retried_then_dead_lettered(program: Program, work: &'static Work) -> Tested {
    let example = ExampleConsumer::new(program, work).await?;
    // Its user has no more permissions than docs/consumers.md says.
    let (events, queues) = (EXCHANGE.replace('.', "\\."), format!("{}.*", work.queue));
    let (configure, write) =
        (format!("^({events}|{queues})$"), format!("^(amq\\.default|{queues})$"));
    let user = BrokerUser::new(&example.outbox.vhost, &configure, &write).await?;
    let service = example.start(&user.url, &SOON).await?;
    // A copy that no queue takes is no reason to acknowledge the original: the consumer declares
    // the queue again.
    let retry_queue = example.retry_queue().as_str().into();
    example.outbox.channel.queue_delete(retry_queue, QueueDeleteOptions::default()).await?;
    let begun = OffsetDateTime::now_utc();
    let event = example.add_early_event().await?;
    let _relay = example.outbox.relay_process(&[]).await?;

    let dead = take_dead_letter(&example).await.with_context(|| service.last_lines())?;
    assert!(text(&dead, "x-reason")?.contains(work.reason), "{dead:?}");
    assert_eq!((number(&dead, "x-retry-count")?, number(&dead, "x-tries")?), (2, 3));
    let (first, last) = (time(&dead, "x-first-failed-at")?, time(&dead, "x-last-failed-at")?);
    assert!(first >= begun && last - first >= Duration::from_millis(200), "{first} {last}");
    assert_eq!(text(&dead, "x-original-exchange")?, EXCHANGE);
    assert_eq!(text(&dead, "x-original-routing-key")?, work.early_event.0);
    assert_eq!(text(&dead, "traceparent")?, "00-ab-cd-01");
    assert_eq!(number(&dead, "outbox-id")?, 1);
    assert_eq!(header(&dead, "x-death"), None, "the broker would add to it");
    let properties = &dead.properties;
    let message_id = properties.message_id().as_ref().map(ToString::to_string);
    assert_eq!(message_id, Some(event.to_string()));
    let kind = properties.kind().as_ref().map(ToString::to_string);
    assert_eq!(kind.as_deref(), Some(work.early_event.0));
    assert_eq!((*properties.delivery_mode(), properties.expiration()), (Some(2), &None));

    // Moved back too early, it has all its tries again.
    publish(&example, "", work.queue, &dead.data, dead.properties.clone()).await?;
    let dead = take_dead_letter(&example).await?;
    assert_eq!((number(&dead, "x-retry-count")?, number(&dead, "x-tries")?), (2, 3));
    assert_eq!(time(&dead, "x-first-failed-at")?, first);
    example.sql.batch_execute(work.enable).await?;
    publish(&example, "", work.queue, &dead.data, dead.properties.clone()).await?;
    example.all_applied().await?;
    assert!(example.has_applied(event).await?);
    Ok(())
}

/// What can never be applied is a dead letter at once, and the others go on.
async fn malformed(program: Program, work: &'static Work) -> Tested {
    let example = ExampleConsumer::new(program, work).await?;
    example.sql.batch_execute(work.enable).await?;
    // A retry would take longer than the test waits.
    let settings = [("RABBITMQ_RETRY_TTL_MS", "600000")];
    let service = example.start(&example.outbox.vhost.amqp_url, &settings).await?;
    let (key, id) = (work.early_event.0, Uuid::now_v7());
    let deep = format!(r#"{{"event_id": {}"#, "[".repeat(100_000));
    let nul = work.early_event.1.replace("\": \"", "\": \"\\u0000");
    for body in [
        "no JSON".to_owned(),
        String::new(),
        "[]".to_owned(),
        "null".to_owned(),
        "17".to_owned(),
        deep,
        json!({"event": key, "data": {}}).to_string(),
        json!({"event_id": "17", "event": key, "data": {}}).to_string(),
        json!({"event_id": id, "data": {}}).to_string(),
        json!({"event_id": id, "event": key}).to_string(),
        json!({"event_id": id, "event": key, "data": null}).to_string(),
        json!({"event_id": id, "event": key, "data": []}).to_string(),
        json!({"event_id": id, "event": key, "data": {}}).to_string(),
        format!(r#"{{"event_id": "{id}", "event": "{key}", "data": {nul}}}"#),
    ] {
        let properties = BasicProperties::default().with_expiration("60000".into());
        publish(&example, EXCHANGE, key, body.as_bytes(), properties).await?;
        let dead = take_dead_letter(&example).await;
        let dead = dead.with_context(|| format!("{body:.200}: {}", service.last_lines()))?;
        assert_eq!(dead.data, body.as_bytes());
        assert_eq!((number(&dead, "x-retry-count")?, number(&dead, "x-tries")?), (0, 1));
        assert!(!text(&dead, "x-reason")?.is_empty(), "{body:.200}");
        assert_eq!(dead.properties.expiration(), &None, "a dead letter must not expire");
    }
    assert_eq!(example.applied().await?, 0);
    // An event of an unknown type is skipped.
    let other = json!({"event_id": id, "event": "other.type", "data": {}}).to_string();
    publish(&example, "", work.queue, other.as_bytes(), BasicProperties::default()).await?;
    eventually("it is left out", async || example.has_applied(id).await).await?;
    example.outbox.sql.execute(KNOWN, &[&id]).await?;
    let event = example.add_early_event().await?;
    let _relay = example.outbox.relay_process(&[]).await?;
    example.all_applied().await?;
    assert!(example.has_applied(event).await? && service.is_running());
    Ok(())
}

#[tokio::test]
async fn what_the_python_consumer_can_not_apply_is_retried_and_becomes_a_dead_letter() -> Tested {
    retried_then_dead_lettered(Program::python(TMP)?, &BALANCES).await
}

#[tokio::test]
async fn what_the_node_consumer_can_not_apply_is_retried_and_becomes_a_dead_letter() -> Tested {
    retried_then_dead_lettered(Program::node(TMP)?, &TURNOVER).await
}

#[tokio::test]
async fn what_the_rust_service_can_not_apply_is_retried_and_becomes_a_dead_letter() -> Tested {
    retried_then_dead_lettered(Program::rust(TMP)?, &SHIPMENTS).await
}

#[tokio::test]
async fn what_the_python_consumer_can_never_apply_is_a_dead_letter_at_once() -> Tested {
    malformed(Program::python(TMP)?, &BALANCES).await
}

#[tokio::test]
async fn what_the_node_consumer_can_never_apply_is_a_dead_letter_at_once() -> Tested {
    malformed(Program::node(TMP)?, &TURNOVER).await
}

#[tokio::test]
async fn what_the_rust_service_can_never_apply_is_a_dead_letter_at_once() -> Tested {
    malformed(Program::rust(TMP)?, &SHIPMENTS).await
}
