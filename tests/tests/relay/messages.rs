//! The message of a row: properties, headers and body, for each envelope.

use lapin::message::BasicGetMessage;
use lapin::types::AMQPValue;
use pipeline_tests::outbox::{EXCHANGE, Outbox};

const EVENT_ID: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

/// Inserts an event, publishes it with `settings` and takes the message from a queue.
async fn published(settings: &[&str]) -> anyhow::Result<BasicGetMessage> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    outbox
        .sql
        .batch_execute(&format!(
            r#"INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at)
               VALUES ('{EVENT_ID}', 'order', '7 "seven"', 'order.created',
                       '{{"order_public_id":"a","price":1.10}}',
                       '{{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","n":7}}',
                       '2026-02-01 23:25:31.123456+01')"#
        ))
        .await?;
    outbox.relay(settings)?.until_idle().await?;
    assert_eq!(outbox.pending().await?, 0, "the row is marked as published");
    let mut messages = outbox.take_all("all").await?;
    assert_eq!(messages.len(), 1);
    Ok(messages.remove(0))
}

fn check_properties(message: &BasicGetMessage, content_type: &str, app_id: &str) {
    let delivery = &message.delivery;
    assert_eq!(delivery.exchange.as_str(), EXCHANGE);
    assert_eq!(delivery.routing_key.as_str(), "order.created");
    let text = |text: &Option<lapin::types::ShortString>| text.as_ref().map(ToString::to_string);
    let properties = &delivery.properties;
    assert_eq!(properties.delivery_mode(), &Some(2), "persistent");
    assert_eq!(text(properties.content_type()).as_deref(), Some(content_type));
    assert_eq!(text(properties.message_id()).as_deref(), Some(EVENT_ID));
    assert_eq!(text(properties.kind()).as_deref(), Some("order.created"));
    assert_eq!(text(properties.app_id()).as_deref(), Some(app_id));
    assert_eq!(properties.timestamp(), &Some(1_769_984_731));
    let headers = properties.headers().as_ref().expect("there are headers").inner();
    let header = |name: &str| headers.get(name).cloned();
    assert_eq!(header("aggregate-type"), Some(AMQPValue::LongString("order".into())));
    assert_eq!(header("aggregate-id"), Some(AMQPValue::LongString("7 \"seven\"".into())));
    assert_eq!(
        header("traceparent"),
        Some(AMQPValue::LongString(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()
        ))
    );
    assert_eq!(header("n"), Some(AMQPValue::LongLongInt(7)));
    assert_eq!(header("outbox-id"), Some(AMQPValue::LongLongInt(1)));
    // A quorum queue adds headers of its own.
    let own = headers.keys().filter(|name| !name.as_str().starts_with("x-delivery"));
    assert_eq!(own.count(), 5);
}

fn body(message: &BasicGetMessage) -> &str {
    std::str::from_utf8(&message.delivery.data).expect("a body is text")
}

#[tokio::test]
async fn an_event_inserted_by_plain_sql_is_published_in_the_default_envelope() -> anyhow::Result<()>
{
    let message = published(&[]).await?;
    check_properties(&message, "application/json", "outbox-relay");
    assert_eq!(
        body(&message),
        concat!(
            r#"{"event_id":"0190163d-8694-739b-aea5-966c26f8ad91","event":"order.created","#,
            r#""occurred_at":"2026-02-01T22:25:31.123456Z","data":{"price": 1.10, "order_public_id": "a"}}"#
        )
    );
    Ok(())
}

#[tokio::test]
async fn an_event_is_published_as_a_structured_cloud_event() -> anyhow::Result<()> {
    let settings = ["--relay-envelope", "cloudevents", "--relay-app-id", "urn:shop:orders"];
    let message = published(&settings).await?;
    check_properties(&message, "application/cloudevents+json; charset=utf-8", "urn:shop:orders");
    assert_eq!(
        body(&message),
        concat!(
            r#"{"specversion":"1.0","id":"0190163d-8694-739b-aea5-966c26f8ad91","source":"urn:shop:orders","#,
            r#""type":"order.created","time":"2026-02-01T22:25:31.123456Z","subject":"7 \"seven\"","#,
            r#""datacontenttype":"application/json","data":{"price": 1.10, "order_public_id": "a"}}"#
        )
    );
    Ok(())
}

#[tokio::test]
async fn an_event_is_published_without_an_envelope() -> anyhow::Result<()> {
    let message = published(&["--relay-envelope", "none"]).await?;
    check_properties(&message, "application/json", "outbox-relay");
    assert_eq!(body(&message), r#"{"price": 1.10, "order_public_id": "a"}"#);
    Ok(())
}

#[tokio::test]
async fn a_payload_keeps_its_digits() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    let payload = r#"{"a":1.10,"b":12345678901234567890.123456789,"ü":"\u0001 \" é","huge":1e400}"#;
    let row = outbox
        .sql
        .query_one(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             VALUES ('order', '7', 'order.created', $1::text::jsonb) RETURNING payload::text",
            &[&payload],
        )
        .await?;
    let stored: String = row.get(0);
    assert!(stored.contains("1.10") && stored.contains(&format!("1{}", "0".repeat(400))));
    outbox.relay(&["--relay-envelope", "none"])?.until_idle().await?;
    let messages = outbox.take_all("all").await?;
    assert_eq!(messages.len(), 1);
    assert_eq!(body(&messages[0]), stored);
    Ok(())
}

#[tokio::test]
async fn a_payload_of_megabytes_is_published_whole_and_alone_if_need_be() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    // Incompressible text, so that its stored size counts.
    outbox
        .sql
        .batch_execute(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload)
             SELECT 'order', n::text, 'order.created',
                    jsonb_build_object('text', (SELECT string_agg(md5(n::text || i::text), '') FROM generate_series(1, 300000) AS i))
             FROM generate_series(1, 3) AS n",
        )
        .await?;
    let mut relay = outbox.relay(&["--relay-envelope", "none"])?;
    relay.until_idle().await?;
    assert_eq!(outbox.pending().await?, 0);
    let messages = outbox.take_all("all").await?;
    assert_eq!(messages.len(), 3);
    for message in &messages {
        assert!(message.delivery.data.len() > 300_000 * 32);
    }
    Ok(())
}
