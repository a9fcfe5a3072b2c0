//! Poison messages: messages that are not events, and events that the database rejects.

use anyhow::{Context as _, ensure};
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, RETRY_QUEUE, order_created, orders_of, until,
};
use pipeline_tests::malformed_message::{Malformed, publish_malformed};
use pipeline_tests::pipeline::{connect, ready};
use serde_json::{Value, json};
use uuid::Uuid;

type Tested = anyhow::Result<()>;

fn reason(delivery: &Delivery) -> anyhow::Result<String> {
    let headers = delivery.properties.headers().as_ref().context("no headers")?;
    let reason = headers.inner().get("x-reason").context("no reason")?;
    Ok(reason.as_long_string().context("no string")?.to_string())
}

fn tries(delivery: &Delivery) -> Option<i64> {
    delivery.properties.headers().as_ref()?.inner().get("x-tries")?.as_long_long_int()
}

fn without(member: &str) -> Vec<u8> {
    let mut body = order_created(Uuid::now_v7(), Uuid::new_v4());
    body.as_object_mut().expect("an object").remove(member);
    body.to_string().into_bytes()
}

fn with(member: &str, value: Value) -> Vec<u8> {
    let mut body = order_created(Uuid::now_v7(), Uuid::new_v4());
    body[member] = value;
    body.to_string().into_bytes()
}

#[tokio::test]
async fn what_is_no_event_goes_to_the_dead_letter_queue_at_once_and_stops_nothing() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer(&[]).await?;
    let deep = [vec![b'['; 200_000], vec![b']'; 200_000]].concat();
    let deep_member = format!(r#"{{"event":"order.created","event_id":{}1"#, "[".repeat(200_000));
    let bodies: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "not JSON"),
        (b"order".to_vec(), "not JSON"),
        (b"{\"event_id\":".to_vec(), "not JSON"),
        (vec![0, 255, 254, 7], "not JSON"),
        (b"\xef\xbb\xbf{}".to_vec(), "not JSON"),
        (b"{} {}".to_vec(), "not JSON"),
        (b"null".to_vec(), "no event"),
        (b"17".to_vec(), "no event"),
        (b"[1,2,3]".to_vec(), "no JSON object"),
        (deep, "no JSON object"),
        (deep_member.into_bytes(), "recursion limit"),
        (vec![b' '; 2 * 1024 * 1024], "larger than"),
        (b"{}".to_vec(), "event is missing"),
        (without("event_id"), "event_id is missing"),
        (with("event_id", json!("seventeen")), "event_id is no UUID"),
        (with("event_id", json!({"a": 1})), "event_id is no UUID"),
        (without("event"), "event is missing"),
        (with("event", json!(1)), "event is no string"),
        (without("data"), "data is missing"),
        (with("data", json!([])), "data is no JSON object"),
        (with("data", json!({})), "data.customer_public_id is missing"),
        (with("data", json!({"customer_public_id": "1"})), "data.customer_public_id is no UUID"),
        (with("data", json!({"customer_public_id": 1})), "data.customer_public_id is no UUID"),
        (with("specversion", json!("1.0")), "type is missing"),
    ];
    for (body, expected) in &bodies {
        fixture.publish_as("order.created", body, BasicProperties::default()).await?;
        let dead = fixture.take(DEAD_LETTER_QUEUE).await?;
        let reason = reason(&dead)?;
        assert!(reason.contains(expected), "{reason:?} does not say {expected:?}");
        assert!(reason.chars().count() <= 500);
        assert_eq!(dead.data, *body);
        assert_eq!(tries(&dead), Some(1));
    }
    // Also in one batch with valid ones.
    let good = (0..bodies.len()).map(|_| order_created(Uuid::now_v7(), customer).to_string());
    let good: Vec<Vec<u8>> = good.map(String::into_bytes).collect();
    let mixed = good.into_iter().zip(&bodies).flat_map(|(good, (bad, _))| [good, bad.clone()]);
    fixture.publish_all(mixed).await?;
    fixture.counted(customer, i64::try_from(bodies.len())?).await?;
    for _ in &bodies {
        fixture.take(DEAD_LETTER_QUEUE).await?;
    }
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test]
async fn only_the_event_that_the_database_refuses_is_diverted() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    let events: Vec<Uuid> = (0..300).map(|_| Uuid::new_v4()).collect();
    let guilty = [events[0], events[137], events[299]];
    fixture
        .sql
        .batch_execute(&format!(
            "ALTER TABLE processed_events ADD CONSTRAINT not_these
                 CHECK (event_id NOT IN ('{}', '{}'));
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON processed_events
                 FOR EACH ROW WHEN (NEW.event_id = '{}') EXECUTE FUNCTION refuse()",
            guilty[0], guilty[1], guilty[2]
        ))
        .await?;
    let bodies = events.iter().map(|event| order_created(*event, customer).to_string());
    fixture.publish_all(bodies.map(String::into_bytes)).await?;

    let settings = ["--rabbitmq-retry-ttl-ms", "50", "--rabbitmq-max-retries", "2"];
    let consumer = fixture.consumer(&settings).await?;
    fixture.counted(customer, 297).await?;
    let mut dead = Vec::new();
    let mut reasons = Vec::new();
    for _ in guilty {
        let message = fixture.take(DEAD_LETTER_QUEUE).await?;
        let body: Value = serde_json::from_slice(&message.data)?;
        dead.push(body["event_id"].as_str().context("an id")?.parse::<Uuid>()?);
        reasons.push(reason(&message)?);
        assert_eq!(tries(&message), Some(3));
    }
    dead.sort();
    let mut guilty = guilty;
    guilty.sort();
    assert_eq!(dead, guilty);
    assert_eq!(reasons.iter().filter(|reason| reason.contains("not this one (P0001)")).count(), 1);
    assert_eq!(reasons.iter().filter(|reason| reason.contains("(23514)")).count(), 2);
    assert_eq!(fixture.count(customer).await?, 297);
    fixture.finished(consumer).await
}

/// Another transaction holds the event and waits for the customer; the consumer holds the customer
/// and waits for the event. As it does not wait for long, it rarely is the one that detects the
/// deadlock.
/// The constraint is checked at the end of the transaction, when each statement has succeeded.
#[tokio::test]
async fn an_event_over_which_the_commit_fails_is_diverted_and_no_other() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let (customer, guarded) = (fixture.customer().await?, fixture.customer().await?);
    fixture.consumer(&[]).await?.stop().await?;
    let guard = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
         CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON customers DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW WHEN (NEW.id = '{guarded}') EXECUTE FUNCTION refuse()"
    );
    fixture.sql.batch_execute(&guard).await?;
    let mut bodies = orders_of(20, customer);
    bodies.insert(7, order_created(Uuid::now_v7(), guarded).to_string().into_bytes());
    fixture.publish_all(bodies).await?;

    let settings = ["--rabbitmq-retry-ttl-ms", "50", "--rabbitmq-max-retries", "1"];
    let consumer = fixture.consumer(&settings).await?;
    fixture.counted(customer, 20).await?;
    let dead = fixture.take(DEAD_LETTER_QUEUE).await?;
    let reason = reason(&dead)?;
    ensure!(reason.contains("not this one"), "{reason}");
    fixture.finished(consumer).await?;
    assert_eq!((fixture.count(customer).await?, fixture.count(guarded).await?), (20, 0));
    assert_eq!(fixture.waiting(RETRY_QUEUE).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_deadlock_with_someone_elses_transaction_charges_no_message() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let other = &fixture.sql;
    let name = &fixture.database.name;
    other.batch_execute(&format!("ALTER DATABASE {name} SET deadlock_timeout = '150ms'")).await?;
    other.batch_execute("SET deadlock_timeout = '50s'").await?;
    let settings = ["--rabbitmq-max-retries", "0", "--rabbitmq-retry-ttl-ms", "100"];
    let consumer = fixture.consumer(&settings).await?;
    let watcher = connect(&fixture.database.url).await?;
    let deadlocks = async || {
        let query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        anyhow::Ok(watcher.query_one(query, &[]).await?.get::<_, i64>(0))
    };
    let mut events = 0;
    while deadlocks().await? == 0 {
        events += 1;
        ensure!(events <= 50, "there is no deadlock");
        let event = Uuid::now_v7();
        other.batch_execute("BEGIN").await?;
        other.execute("INSERT INTO processed_events (event_id) VALUES ($1)", &[&event]).await?;
        fixture.publish(&order_created(event, customer)).await?;
        until(async || {
            let waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database()
                           AND application_name = 'customer-service consumer' AND wait_event_type = 'Lock'";
            Ok(watcher.query_opt(waiting, &[]).await?.map(drop))
        })
        .await?;
        other.query("SELECT FROM customers WHERE id = $1 FOR UPDATE", &[&customer]).await?;
        other.batch_execute("ROLLBACK").await?;
        fixture.counted(customer, events).await?;
    }
    fixture.finished(consumer).await?;
    assert_eq!(fixture.waiting(DEAD_LETTER_QUEUE).await?, 0);
    Ok(())
}

async fn publish(fixture: &ConsumerFixture, foreign: Malformed, body: Vec<u8>) -> Tested {
    let url = &fixture.broker.amqp_url;
    publish_malformed(url, "orders.events", "order.created", foreign, body).await
}

/// It aborts any process that consumes with lapin, at each start (`servers/lapin_canary.rs`).
#[tokio::test]
async fn a_header_of_nested_arrays_is_counted_or_dead_lettered_like_any_other() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let settings = [("RABBITMQ_RETRY_TTL_MS", "50"), ("RABBITMQ_MAX_RETRIES", "1")];
    let consumer = fixture.consumer_process(&settings).await?;
    ready(&consumer).await?;
    let event = |customer| order_created(Uuid::now_v7(), customer).to_string().into_bytes();
    publish(&fixture, Malformed::NestedHeader, event(customer)).await?;
    fixture.counted(customer, 1).await.with_context(|| consumer.log())?;
    // At once, or after another retry.
    for (body, expected) in [(b"{}".to_vec(), 1), (event(Uuid::new_v4()), 2)] {
        publish(&fixture, Malformed::NestedHeader, body.clone()).await?;
        let dead = fixture.take(DEAD_LETTER_QUEUE).await.with_context(|| consumer.log())?;
        assert_eq!((dead.data.as_slice(), tries(&dead)), (body.as_slice(), Some(expected)));
    }
    publish(&fixture, Malformed::NestedHeader, event(customer)).await?;
    fixture.counted(customer, 2).await.with_context(|| consumer.log())?;
    assert!(consumer.is_running(), "{}", consumer.last_lines());
    Ok(())
}

/// Client libraries close the connection over them, and would get the same message on each new
/// connection.
#[tokio::test]
async fn properties_that_no_driver_reads_stop_nothing() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    let consumer = fixture.consumer(&[]).await?;
    let body = order_created(Uuid::now_v7(), customer).to_string().into_bytes();
    publish(&fixture, Malformed::Latin1, body).await?;
    fixture.counted(customer, 1).await?;
    fixture.finished(consumer).await
}

#[tokio::test]
async fn such_a_message_is_not_lost_when_the_dead_letter_queue_is_not_there_either() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let consumer = fixture.consumer(&[]).await?;
    let (connection, channel) = fixture.another_channel().await?;
    channel.queue_delete(DEAD_LETTER_QUEUE.into(), QueueDeleteOptions::default()).await?;
    publish(&fixture, Malformed::Latin1, b"{}".to_vec()).await?;
    // The moved message is returned, so the consumer reconnects and declares the queue.
    until(async || {
        let (connection, channel) = fixture.another_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(DEAD_LETTER_QUEUE.into(), passive, FieldTable::default());
        let there = queue.await.is_ok_and(|queue| queue.message_count() == 1);
        connection.close(200, "OK".into()).await?;
        Ok(there.then_some(()))
    })
    .await?;
    connection.close(200, "OK".into()).await?;
    consumer.stop().await
}
