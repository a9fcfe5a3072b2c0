//! The fields of JSON log lines, by which everything about a request, event or message is found.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::consumer_fixture::ConsumerFixture;
use pipeline_tests::order_api::{accepted, order};
use pipeline_tests::outbox::Outbox;
use pipeline_tests::pipeline::PATIENCE;
use serde_json::Value;
use stack::Service;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn line(service: &Service, text: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&service.wait_for_line(text, PATIENCE).await?)?)
}

#[tokio::test]
async fn a_request_is_found_by_its_id_and_its_trace_and_nobodys_address_is_told()
-> anyhow::Result<()> {
    let database = stack::shared().await?.database("orders").await?;
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("CUSTOMER_CHECK", "off"),
        ("LISTEN_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
        ("LOG_FORMAT", "json"),
        ("RUST_LOG", "debug,access=debug"),
    ];
    let program = stack::binary("order-service").await?;
    let service = Service::spawn(program, ["serve"], settings).await?;
    service.wait_for_line("postgresql is reachable", PATIENCE).await?;
    let address = line(&service, "HTTP port is open").await?["address"].clone();
    let url = format!("http://{}/api/orders", address.as_str().unwrap_or_default());
    let post = stack::http_client()?.post(url).json(&order());
    let post = post.header("x-request-id", "look-for-me").header("traceparent", PARENT);
    accepted(post.send().await?).await?;

    let answered = line(&service, "answered").await?;
    assert_eq!(answered["request_id"], "look-for-me");
    assert_eq!(answered["trace_id"], TRACE);
    assert_eq!(answered["target"], "access");
    assert_eq!(answered["method"], "POST");
    assert_eq!(answered["route"], "/api/orders");
    assert_eq!(answered["status"], 201);
    assert!(answered["seconds"].is_f64(), "{answered}");
    let log = service.log();
    let home = order()["order"]["delivery_address"].as_str().unwrap_or_default().to_owned();
    assert!(!home.is_empty() && !log.contains(&home), "{log}");
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_stuck_is_found_by_its_id_and_its_trace() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let settings = [("LOG_FORMAT", "json"), ("RELAY_MAX_ATTEMPTS", "1")];
    let relay = outbox.relay_process(&settings).await?;
    let add = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers)
               VALUES ('order', $1, 'order.created', '{}', $2::text::jsonb) RETURNING event_id::text";
    // One can't be a message, the other is unroutable.
    for (aggregate, more, reason) in [
        ("7", r#","nested":{}"#, "the header \"nested\" is an object"),
        ("8", "", "no queue is bound to the exchange"),
    ] {
        let headers = format!(r#"{{"traceparent":"{PARENT}"{more}}}"#);
        let event_id: String = outbox.sql.query_one(add, &[&aggregate, &headers]).await?.get(0);
        let stuck = line(&relay, &event_id).await?;
        assert_eq!(stuck["level"], "WARN", "{stuck}");
        assert_eq!(stuck["event_id"], event_id, "{stuck}");
        assert_eq!(stuck["trace_id"], TRACE, "{stuck}");
        assert_eq!(stuck["event_type"], "order.created", "{stuck}");
        let told = stuck["reason"].as_str().unwrap_or_default();
        assert!(told.contains(reason), "{stuck}");
    }
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_moved_is_found_by_its_id_and_its_trace() -> anyhow::Result<()> {
    let fixture = ConsumerFixture::start().await?;
    let settings = [
        ("DATABASE_URL", fixture.database.url.as_str()),
        ("RABBITMQ_URL", fixture.broker.amqp_url.as_str()),
        ("OPS_ADDR", "127.0.0.1:0"),
        ("LOG_FORMAT", "json"),
    ];
    let program = stack::binary("customer-service").await?;
    let consumer = Service::spawn(program, ["consumer"], settings).await?;
    let address = line(&consumer, "operations port is open").await?["address"].clone();
    let url = format!("http://{}/readyz", address.as_str().unwrap_or_default());
    pipeline_tests::consumer_fixture::until(async || {
        let answer = stack::http_client()?.get(&url).send().await;
        Ok(answer.is_ok_and(|answer| answer.status().is_success()).then_some(()))
    })
    .await?;
    let mut headers = FieldTable::default();
    headers.insert("traceparent".into(), AMQPValue::LongString(PARENT.into()));
    let properties =
        BasicProperties::default().with_message_id("event-7".into()).with_headers(headers);
    fixture.publish_as("order.created", b"no event", properties).await?;
    let moved = line(&consumer, "dead-letter queue").await?;
    assert_eq!(moved["level"], "WARN", "{moved}");
    assert_eq!(moved["event_id"], "event-7", "{moved}");
    assert_eq!(moved["trace_id"], TRACE, "{moved}");
    Ok(())
}
