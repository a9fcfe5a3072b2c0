//! The consumer counts valid events of known customers, each once.

use anyhow::ensure;
use futures_util::StreamExt as _;
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, RETRY_QUEUE, order_created,
};
use pipeline_tests::metrics::{metrics, shows};
use pipeline_tests::pipeline::{PATIENCE, ready};
use serde_json::json;
use uuid::Uuid;

type Tested = anyhow::Result<()>;

#[tokio::test]
async fn a_new_event_is_counted_and_its_message_is_done() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer(&[]).await?;
    let event = Uuid::now_v7();

    fixture.publish(&order_created(event, customer)).await?;

    fixture.counted(customer, 1).await?;
    fixture.finished(consumer).await?;
    let remembered =
        fixture.sql.query("SELECT FROM processed_events WHERE event_id = $1", &[&event]).await?;
    assert_eq!(remembered.len(), 1);
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test]
async fn an_event_that_comes_five_times_counts_once() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let event = order_created(Uuid::now_v7(), customer);
    let consumer = fixture.consumer(&[]).await?;

    fixture.publish(&event).await?;
    fixture.counted(customer, 1).await?;
    for _ in 0..4 {
        fixture.publish(&event).await?;
    }
    // The event behind them is counted, so they were handled.
    fixture.publish(&order_created(Uuid::now_v7(), customer)).await?;
    fixture.counted(customer, 2).await?;
    fixture.finished(consumer).await?;
    assert_eq!(fixture.count(customer).await?, 2);
    Ok(())
}

#[tokio::test]
async fn copies_of_an_event_in_one_batch_count_once_and_the_first_of_them_decides() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let (first, other) = (fixture.customer().await?, fixture.customer().await?);
    // A first consumer declares the queue and stops; the next one finds all messages in it.
    fixture.consumer(&[]).await?.stop().await?;
    let event = Uuid::now_v7();
    let mut bodies = vec![order_created(event, first); 4];
    bodies.push(order_created(event, other));
    bodies.push(order_created(Uuid::now_v7(), other));
    fixture.publish_all(bodies.iter().map(|body| body.to_string().into_bytes())).await?;

    let consumer = fixture.consumer(&[]).await?;
    fixture.counted(first, 1).await?;
    fixture.counted(other, 1).await?;
    fixture.finished(consumer).await?;
    assert_eq!((fixture.count(first).await?, fixture.count(other).await?), (1, 1));
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_message_of_a_foreign_client_in_the_contracts_format_is_counted() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer(&[]).await?;
    let event = Uuid::now_v7();
    let body = format!(
        r#"{{"event_id":"{event}","event":"order.created","occurred_at":"2026-02-01T22:25:31.123456Z",
            "data":{{"order_public_id":"{}","customer_public_id":"{customer}","price":12345678901234567890.50}},
            "and":["more"]}}"#,
        Uuid::new_v4()
    );
    let mut headers = FieldTable::default();
    headers.insert("aggregate-type".into(), lapin::types::AMQPValue::LongString("order".into()));
    headers.insert("traceparent".into(), lapin::types::AMQPValue::LongString("00-ab-cd-01".into()));
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_message_id(event.to_string().into())
        .with_type("order.created".into())
        .with_timestamp(1_769_984_731)
        .with_app_id("order-service".into())
        .with_headers(headers);
    fixture.publish_as("order.created", body.as_bytes(), properties).await?;
    fixture.counted(customer, 1).await?;

    // And one with no properties at all.
    let bare = order_created(Uuid::now_v7(), customer).to_string();
    fixture.publish_as("order.created", bare.as_bytes(), BasicProperties::default()).await?;
    fixture.counted(customer, 2).await?;
    consumer.stop().await
}

#[tokio::test]
async fn a_cloud_event_is_counted() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer(&[]).await?;
    let body = json!({
        "specversion": "1.0", "id": Uuid::now_v7(), "source": "/orders", "type": "order.created",
        "time": "2026-02-01T22:25:31Z", "subject": "7", "datacontenttype": "application/json",
        "data": {"customer_public_id": customer},
    });
    let content_type = "application/cloudevents+json; charset=utf-8";
    let properties = BasicProperties::default().with_content_type(content_type.into());
    for _ in 0..2 {
        fixture
            .publish_as("order.created", body.to_string().as_bytes(), properties.clone())
            .await?;
    }
    fixture.counted(customer, 1).await?;
    fixture.finished(consumer).await?;
    assert_eq!(fixture.count(customer).await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_event_type_that_it_does_not_handle_is_done_and_told_in_the_metrics() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer_process(&[]).await?;
    // The consumer declares the queues.
    ready(&consumer).await?;
    let mut body = order_created(Uuid::now_v7(), customer);
    body["event"] = json!("order.shipped");
    for _ in 0..3 {
        let body = body.to_string();
        fixture.publish_as("order.shipped", body.as_bytes(), BasicProperties::default()).await?;
    }
    shows(&consumer, &["consumer_events_total{outcome=\"ignored\"} 3"]).await?;
    consumer.sigterm()?;
    consumer.wait_exit(PATIENCE).await?;
    assert_eq!(fixture.waiting(QUEUE).await?, 0, "each is acknowledged");
    assert_eq!(fixture.count(customer).await?, 0);
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

/// Few customers, so that both consumers contend for the same rows; every event twice, so that both
/// may get it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_consumers_at_once_count_right() -> Tested {
    const EVENTS: usize = 6_000;
    let fixture = ConsumerFixture::start().await?;
    let mut customers = Vec::new();
    for _ in 0..5 {
        customers.push(fixture.customer().await?);
    }
    fixture.consumer(&[]).await?.stop().await?;
    let ids: Vec<Uuid> = (0..EVENTS).map(|_| Uuid::new_v4()).collect();
    // The second copies are in reverse order, so that the two consumers see the same events in
    // opposite order.
    let order = (0..EVENTS / 2).flat_map(|at| [at, EVENTS - 1 - at]);
    let again = (0..EVENTS / 2).flat_map(|at| [EVENTS - 1 - at, at]);
    let body = |at: usize| order_created(ids[at], customers[at % 5]).to_string().into_bytes();
    fixture.publish_all(order.zip(again).flat_map(|(one, two)| [body(one), body(two)])).await?;

    let one = fixture.consumer(&["--consumer-prefetch", "90"]).await?;
    let two = fixture.consumer(&["--consumer-prefetch", "110"]).await?;
    for customer in &customers {
        fixture.counted(*customer, i64::try_from(EVENTS / 5)?).await?;
    }
    one.stop().await?;
    fixture.finished(two).await?;
    for customer in &customers {
        assert_eq!(fixture.count(*customer).await?, i64::try_from(EVENTS / 5)?);
    }
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test]
async fn another_subscriber_sees_each_event_once_however_often_it_is_retried_here() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let consumer =
        fixture.consumer(&["--rabbitmq-retry-ttl-ms", "50", "--rabbitmq-max-retries", "4"]).await?;
    let channel = &fixture.channel;
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?;
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    let (name, events) = (queue.name().clone(), "orders.events".into());
    channel.queue_bind(name, events, "#".into(), options, none).await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut other = channel
        .basic_consume(queue.name().clone(), "".into(), options, FieldTable::default())
        .await?;

    let stranger = Uuid::new_v4();
    fixture.publish(&order_created(Uuid::now_v7(), stranger)).await?;
    fixture.take(DEAD_LETTER_QUEUE).await?;
    let last = order_created(Uuid::now_v7(), fixture.customer().await?);
    fixture.publish(&last).await?;

    let mut seen = Vec::new();
    while let Some(delivery) = other.next().await {
        let delivery = delivery?;
        ensure!(seen.len() < 3, "too many copies");
        seen.push(delivery.routing_key.to_string());
        if delivery.data == last.to_string().into_bytes() {
            break;
        }
    }
    assert_eq!(seen, ["order.created", "order.created"]);
    consumer.stop().await
}

#[tokio::test]
async fn the_metrics_tell_what_became_of_each_message() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let event = order_created(Uuid::now_v7(), customer);
    let mut shipped = event.clone();
    shipped["event"] = json!("order.shipped");
    let unknown = order_created(Uuid::now_v7(), Uuid::new_v4());
    let bodies = [&event, &event, &event, &shipped, &unknown].map(ToString::to_string);
    fixture.publish_all(bodies.into_iter().chain(["?".to_owned()]).map(String::into_bytes)).await?;

    // In a separate process, as metrics are global in a process.
    let settings = [("RABBITMQ_MAX_RETRIES", "1"), ("RABBITMQ_RETRY_TTL_MS", "50")];
    let service = fixture.consumer_process(&settings).await?;
    let expected = [
        "consumer_events_total{outcome=\"counted\"} 1",
        "consumer_events_total{outcome=\"duplicate\"} 2",
        "consumer_events_total{outcome=\"ignored\"} 1",
        "consumer_events_total{outcome=\"retried\"} 1",
        "consumer_events_total{outcome=\"dead_lettered\"} 2",
        "consumer_redeliveries_total 0",
        "consumer_lag_seconds_count 1",
    ];
    shows(&service, &expected).await?;
    let counted = "database_transaction_duration_seconds_count{transaction=\"count_events\"}";
    ensure!(metrics(&service).await?.contains(counted));
    Ok(())
}
