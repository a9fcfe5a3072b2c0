//! What the consumers in `examples/` do with events that they can't apply, and while a server is
//! down.

use std::time::Duration;

use anyhow::Context as _;
use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeleteOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use pipeline_tests::example::{Example, build_rust};
use pipeline_tests::example_consumer::{
    BALANCES, ExampleConsumer, Program, SHIPMENTS, TURNOVER, Work,
};
use pipeline_tests::outbox::{EXCHANGE, PATIENCE, eventually};
use serde_json::json;
use stack::PostgresServer;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

type Tested = anyhow::Result<()>;

const SOON: [(&str, &str); 2] = [("RABBITMQ_RETRY_TTL_MS", "100"), ("RABBITMQ_MAX_RETRIES", "2")];

fn python() -> anyhow::Result<Program> {
    Ok(Program::Script(Example::python(env!("CARGO_TARGET_TMPDIR"))?, "balances.py"))
}

fn node() -> anyhow::Result<Program> {
    Ok(Program::Script(Example::node(env!("CARGO_TARGET_TMPDIR"))?, "turnover.js"))
}

fn rust() -> anyhow::Result<Program> {
    Ok(Program::Binary(build_rust(env!("CARGO_TARGET_TMPDIR"))?))
}

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

/// After its retries an event is a dead letter that tells its story, and moved back it is applied.
async fn retried_then_dead_lettered(program: Program, work: &'static Work) -> Tested {
    let example = ExampleConsumer::new(program, work).await?;
    let service = example.start(&example.outbox.vhost.amqp_url, &SOON).await?;
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
    let event = example.add_early_event().await?;
    let _relay = example.outbox.relay_process(&[]).await?;
    example.all_applied().await?;
    assert!(example.has_applied(event).await? && service.is_running());
    Ok(())
}

/// A message whose consumer dies each time becomes a dead letter by the queue's own arguments.
async fn crashes_again_and_again(program: Program, work: &'static Work) -> Tested {
    let example = ExampleConsumer::new(program, work).await?;
    let url = &example.outbox.vhost.amqp_url;
    let service = example.start(url, &[]).await?;
    service.sigterm()?;
    service.wait_exit(PATIENCE).await?;
    publish(&example, "", work.queue, b"poison", BasicProperties::default()).await?;
    for _ in 0..21 {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        eventually("the message is delivered", async || {
            let got = channel.basic_get(work.queue.into(), BasicGetOptions::default()).await?;
            Ok(got.is_some())
        })
        .await?;
        connection.close(200, "".into()).await?;
    }
    let dead = take_dead_letter(&example).await?;
    assert_eq!(dead.data, b"poison");
    Ok(())
}

/// While the database is down nothing is consumed, and afterwards everything is applied at the
/// first try.
async fn database_outage(program: Program, work: &'static Work) -> Tested {
    let mut server = PostgresServer::start_temporary().await?;
    let database = server.database(work.queue).await?;
    let mut example = ExampleConsumer::on(database, program, work).await?;
    example.sql.batch_execute(work.enable).await?;
    // Each try that is charged makes a dead letter.
    let settings = [("RABBITMQ_MAX_RETRIES", "0")];
    let service = example.start(&example.outbox.vhost.amqp_url, &settings).await?;
    let _relay = example.outbox.relay_process(&[]).await?;
    for _ in 0..50 {
        example.add_early_event().await?;
    }
    eventually("it has begun", async || Ok(example.applied().await? > 0)).await?;
    server.stop_immediately().await?;
    for _ in 0..50 {
        example.add_early_event().await?;
    }
    example.outbox.all_published().await?;
    eventually("nothing is consumed", async || Ok(example.consumers().await? == 0)).await?;
    // It connects to the broker no more, however often it tries.
    eventually("it has tried again", async || {
        Ok(service.log().lines().filter(|line| line.contains("interrupted")).count() >= 3)
    })
    .await?;
    assert_eq!(example.consumers().await?, 0);
    assert!(service.log().matches("consuming from").count() == 1, "{}", service.last_lines());
    server.start().await?;
    example.reconnect().await?;
    example.all_applied().await?;

    // A read-only database is no message's fault either.
    let name: String = example.sql.query_one("SELECT current_database()", &[]).await?.get(0);
    let read_only =
        |on: &str| format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = {on}");
    let disconnect = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
    example.sql.batch_execute(&read_only("on")).await?;
    example.sql.batch_execute(disconnect).await?;
    let event = example.add_early_event().await?;
    example.outbox.all_published().await?;
    eventually("nothing is consumed", async || Ok(example.consumers().await? == 0)).await?;
    example.sql.batch_execute(&read_only("off")).await?;
    example.sql.batch_execute(disconnect).await?;
    example.all_applied().await?;
    assert!(example.has_applied(event).await? && service.is_running());
    Ok(())
}

#[tokio::test]
async fn what_the_python_consumer_can_not_apply_is_retried_and_becomes_a_dead_letter() -> Tested {
    retried_then_dead_lettered(python()?, &BALANCES).await
}

#[tokio::test]
async fn what_the_node_consumer_can_not_apply_is_retried_and_becomes_a_dead_letter() -> Tested {
    retried_then_dead_lettered(node()?, &TURNOVER).await
}

#[tokio::test]
async fn what_the_rust_service_can_not_apply_is_retried_and_becomes_a_dead_letter() -> Tested {
    retried_then_dead_lettered(rust()?, &SHIPMENTS).await
}

#[tokio::test]
async fn what_the_python_consumer_can_never_apply_is_a_dead_letter_at_once() -> Tested {
    malformed(python()?, &BALANCES).await
}

#[tokio::test]
async fn what_the_node_consumer_can_never_apply_is_a_dead_letter_at_once() -> Tested {
    malformed(node()?, &TURNOVER).await
}

#[tokio::test]
async fn what_the_rust_service_can_never_apply_is_a_dead_letter_at_once() -> Tested {
    malformed(rust()?, &SHIPMENTS).await
}

#[tokio::test]
async fn a_message_on_which_the_python_consumer_dies_becomes_a_dead_letter() -> Tested {
    crashes_again_and_again(python()?, &BALANCES).await
}

#[tokio::test]
async fn a_message_on_which_the_node_consumer_dies_becomes_a_dead_letter() -> Tested {
    crashes_again_and_again(node()?, &TURNOVER).await
}

#[tokio::test]
async fn a_message_on_which_the_rust_service_dies_becomes_a_dead_letter() -> Tested {
    crashes_again_and_again(rust()?, &SHIPMENTS).await
}

#[tokio::test]
async fn the_python_consumer_stops_while_its_database_is_down_and_charges_no_retry() -> Tested {
    database_outage(python()?, &BALANCES).await
}

#[tokio::test]
async fn the_node_consumer_stops_while_its_database_is_down_and_charges_no_retry() -> Tested {
    database_outage(node()?, &TURNOVER).await
}

#[tokio::test]
async fn the_rust_service_stops_while_its_database_is_down_and_charges_no_retry() -> Tested {
    database_outage(rust()?, &SHIPMENTS).await
}
