//! Retries: events that can't be applied yet.

use anyhow::Context as _;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE, order_created, until,
};
use pipeline_tests::pipeline::{PATIENCE, address, ready};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

type Tested = anyhow::Result<()>;

const SOON: [&str; 4] = ["--rabbitmq-retry-ttl-ms", "100", "--rabbitmq-max-retries", "3"];
const NEVER: [&str; 4] = ["--rabbitmq-retry-ttl-ms", "600000", "--rabbitmq-max-retries", "3"];

fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a AMQPValue> {
    delivery.properties.headers().as_ref()?.inner().get(name)
}

fn text(delivery: &Delivery, name: &str) -> anyhow::Result<String> {
    let value = header(delivery, name).with_context(|| format!("no header {name}"))?;
    Ok(value.as_long_string().with_context(|| format!("{name} is no string"))?.to_string())
}

fn number(delivery: &Delivery, name: &str) -> anyhow::Result<i64> {
    let value = header(delivery, name).with_context(|| format!("no header {name}"))?;
    value.as_long_long_int().with_context(|| format!("{name} is no number"))
}

fn time(delivery: &Delivery, name: &str) -> anyhow::Result<OffsetDateTime> {
    Ok(OffsetDateTime::parse(&text(delivery, name)?, &Rfc3339)?)
}

fn with_header(name: &str, value: AMQPValue) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(name.into(), value);
    BasicProperties::default().with_headers(headers)
}

#[tokio::test]
async fn an_event_of_a_customer_who_is_made_later_is_counted_by_a_retry() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    // In a separate process, as metrics are global in a process.
    let settings = [("RABBITMQ_RETRY_TTL_MS", "100"), ("RABBITMQ_MAX_RETRIES", "1000")];
    let service = fixture.consumer_process(&settings).await?;
    ready(&service).await?;
    let url = format!("{}/metrics", address(&service, "operations port is open").await?);
    let late = Uuid::new_v4();
    let event = Uuid::now_v7();
    fixture.publish(&order_created(event, late)).await?;
    // Seen at least twice, as retries return.
    until(async || {
        let metrics = stack::http_client()?.get(&url).send().await?.text().await?;
        let retried = metrics
            .lines()
            .find_map(|line| line.strip_prefix("consumer_events_total{outcome=\"retried\"} "));
        Ok(retried.filter(|number| number.parse().is_ok_and(|number: u32| number >= 2)).map(drop))
    })
    .await?;

    fixture.add_customer(late).await?;
    fixture.counted(late, 1).await?;
    service.sigterm()?;
    assert_eq!(service.wait_exit(PATIENCE).await?.code(), Some(0), "{}", service.last_lines());
    for queue in [QUEUE, RETRY_QUEUE, DEAD_LETTER_QUEUE] {
        assert_eq!(fixture.waiting(queue).await?, 0, "{queue}");
    }
    Ok(())
}

#[tokio::test]
async fn after_its_retries_an_event_is_dead_lettered_and_tells_why_when_and_after_how_many_tries()
-> Tested {
    let fixture = ConsumerFixture::start().await?;
    let consumer = fixture.consumer(&SOON).await?;
    let stranger = Uuid::new_v4();
    let event = Uuid::now_v7();
    let body = order_created(event, stranger).to_string();
    let properties = with_header("traceparent", AMQPValue::LongString("00-ab-cd-01".into()))
        .with_content_type("application/json".into())
        .with_message_id(event.to_string().into())
        .with_type("order.created".into())
        .with_correlation_id("c-7".into())
        .with_timestamp(1_769_984_731)
        .with_app_id("order-service".into());
    let begun = OffsetDateTime::now_utc();
    fixture.publish_as("order.created", body.as_bytes(), properties).await?;

    let dead = fixture.take(DEAD_LETTER_QUEUE).await?;
    assert_eq!(dead.data, body.as_bytes());
    assert_eq!(text(&dead, "x-reason")?, format!("customer {stranger} is unknown"));
    assert_eq!(number(&dead, "x-retry-count")?, 3);
    assert_eq!(number(&dead, "x-tries")?, 4);
    let (first, last) = (time(&dead, "x-first-failed-at")?, time(&dead, "x-last-failed-at")?);
    assert!(first >= begun && last - first >= time::Duration::milliseconds(300), "{first} {last}");
    assert_eq!(text(&dead, "x-original-exchange")?, "orders.events");
    assert_eq!(text(&dead, "x-original-routing-key")?, "order.created");
    assert_eq!(text(&dead, "traceparent")?, "00-ab-cd-01");
    let properties = &dead.properties;
    assert_eq!(properties.message_id().as_ref().map(ToString::to_string), Some(event.to_string()));
    assert_eq!(
        properties.kind().as_ref().map(ToString::to_string).as_deref(),
        Some("order.created")
    );
    assert_eq!(
        properties.correlation_id().as_ref().map(ToString::to_string).as_deref(),
        Some("c-7")
    );
    assert_eq!(
        properties.app_id().as_ref().map(ToString::to_string).as_deref(),
        Some("order-service")
    );
    assert_eq!(*properties.timestamp(), Some(1_769_984_731));
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(*properties.expiration(), None);
    assert_eq!(header(&dead, "x-death"), None);

    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_message_waits_for_its_retry_with_the_time_in_its_expiration() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let consumer = fixture.consumer(&NEVER).await?;
    fixture.publish(&order_created(Uuid::now_v7(), Uuid::new_v4())).await?;
    let waiting = fixture.take(RETRY_QUEUE).await?;
    assert_eq!(waiting.exchange.as_str(), "orders.retry");
    let expiration = waiting.properties.expiration().as_ref().map(ToString::to_string);
    assert_eq!(expiration.as_deref(), Some("600000"));
    assert_eq!(number(&waiting, "x-retry-count")?, 1);
    assert_eq!(header(&waiting, "x-tries"), None);
    fixture.finished(consumer).await
}

#[tokio::test]
async fn without_retries_the_first_try_is_the_last() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let consumer = fixture.consumer(&["--rabbitmq-max-retries", "0"]).await?;
    fixture.publish(&order_created(Uuid::now_v7(), Uuid::new_v4())).await?;
    let dead = fixture.take(DEAD_LETTER_QUEUE).await?;
    assert_eq!((number(&dead, "x-retry-count")?, number(&dead, "x-tries")?), (0, 1));
    fixture.finished(consumer).await
}

#[tokio::test]
async fn an_absurd_retry_count_from_outside_does_no_harm() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let consumer = fixture.consumer(&NEVER).await?;
    for absurd in [
        AMQPValue::LongLongInt(-5),
        AMQPValue::LongLongInt(i64::MIN),
        AMQPValue::LongString("20".into()),
        AMQPValue::Double(1e300),
        AMQPValue::Void,
        AMQPValue::FieldArray(vec![AMQPValue::LongInt(20)].into()),
    ] {
        let body = order_created(Uuid::now_v7(), Uuid::new_v4()).to_string();
        let properties = with_header("x-retry-count", absurd.clone());
        fixture.publish_as("order.created", body.as_bytes(), properties).await?;
        let waiting = fixture.take(RETRY_QUEUE).await?;
        assert_eq!(number(&waiting, "x-retry-count")?, 1, "{absurd:?}");
    }
    for huge in [i64::MAX, i64::from(u32::MAX), 3] {
        let body = order_created(Uuid::now_v7(), Uuid::new_v4()).to_string();
        let properties = with_header("x-retry-count", AMQPValue::LongLongInt(huge));
        fixture.publish_as("order.created", body.as_bytes(), properties).await?;
        let dead = fixture.take(DEAD_LETTER_QUEUE).await?;
        assert!(number(&dead, "x-tries")? >= 4, "{huge}");
    }
    fixture.finished(consumer).await
}

#[tokio::test]
async fn a_message_that_was_moved_back_by_a_person_gets_all_its_tries_again() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let consumer = fixture.consumer(&SOON).await?;
    let late = Uuid::new_v4();
    fixture.publish(&order_created(Uuid::now_v7(), late)).await?;
    let dead = fixture.take(DEAD_LETTER_QUEUE).await?;
    consumer.stop().await?;

    let consumer = fixture.consumer(&NEVER).await?;
    fixture.publish_as("order.created", &dead.data, dead.properties.clone()).await?;
    let waiting = fixture.take(RETRY_QUEUE).await?;
    assert_eq!(number(&waiting, "x-retry-count")?, 1);
    assert_eq!(header(&waiting, "x-tries"), None);

    fixture.add_customer(late).await?;
    fixture.publish_as("order.created", &dead.data, dead.properties).await?;
    fixture.counted(late, 1).await?;
    fixture.finished(consumer).await
}

#[tokio::test]
async fn an_event_that_was_counted_is_a_duplicate_even_when_its_customer_is_gone() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer(&NEVER).await?;
    let event = order_created(Uuid::now_v7(), customer);
    fixture.publish(&event).await?;
    fixture.counted(customer, 1).await?;
    fixture.sql.execute("DELETE FROM customers WHERE id = $1", &[&customer]).await?;
    fixture.publish(&event).await?;
    let marker = fixture.customer().await?;
    fixture.publish(&order_created(Uuid::now_v7(), marker)).await?;
    fixture.counted(marker, 1).await?;
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);
    Ok(())
}

/// The broker rejects a copy with another user-id, obeys CC, and closes the connection if the
/// headers exceed a frame.
#[tokio::test]
async fn properties_that_the_broker_would_refuse_or_obey_in_a_copy_do_not_stop_it() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let consumer = fixture.consumer(&NEVER).await?;
    let publisher = fixture.broker.amqp_url.split([':', '/']).nth(3).context("a user")?.to_owned();
    let stranger = Uuid::new_v4();
    let body = order_created(Uuid::now_v7(), stranger).to_string();

    let named = BasicProperties::default().with_user_id(publisher.into());
    fixture.publish_as("order.created", body.as_bytes(), named).await?;
    assert_eq!(*fixture.take(RETRY_QUEUE).await?.properties.user_id(), None);

    let copies = AMQPValue::FieldArray(vec![AMQPValue::LongString("elsewhere".into())].into());
    fixture.publish_as("order.created", body.as_bytes(), with_header("CC", copies)).await?;
    assert_eq!(header(&fixture.take(RETRY_QUEUE).await?, "CC"), None);

    let huge = AMQPValue::LongString("x".repeat(130_000).into());
    fixture.publish_as("order.created", body.as_bytes(), with_header("huge", huge)).await?;
    let waiting = fixture.take(RETRY_QUEUE).await?;
    assert_eq!(header(&waiting, "huge"), None);
    assert_eq!(text(&waiting, "x-reason")?, format!("customer {stranger} is unknown"));
    fixture.finished(consumer).await
}

#[tokio::test]
async fn many_events_of_unknown_customers_wait_without_holding_up_the_others() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let body = |at: usize| {
        let customer = if at.is_multiple_of(3) { Uuid::new_v4() } else { customer };
        order_created(Uuid::now_v7(), customer).to_string().into_bytes()
    };
    fixture.publish_all((0..900).map(body)).await?;
    let consumer = fixture.consumer(&NEVER).await?;
    fixture.counted(customer, 600).await?;
    until(async || Ok((fixture.waiting(QUEUE).await? == 0).then_some(()))).await?;
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 300);
    Ok(())
}
