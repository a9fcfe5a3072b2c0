//! What `dead-letters collect` reads from a message: its properties, and the headers of brokers and
//! libraries.

use anyhow::Context as _;
use lapin::BasicProperties;
use lapin::options::{BasicGetOptions, BasicPublishOptions, BasicRejectOptions};
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::dead_letter_queue::{DeadLetterQueue, QUEUE, declare};
use pipeline_tests::outbox::eventually;
use serde_json::json;

type Tested = anyhow::Result<()>;

fn string(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn plain() -> BasicProperties {
    BasicProperties::default()
}

#[tokio::test]
async fn every_property_of_a_message_is_in_its_row() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let mut nested = FieldTable::default();
    nested.insert("inner".into(), AMQPValue::Boolean(true));
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("traceparent", string("00-1-2-01")),
        ("number", AMQPValue::LongLongInt(7)),
        ("table", AMQPValue::FieldTable(nested)),
        ("list", AMQPValue::FieldArray(vec![string("a"), AMQPValue::Void].into())),
    ] {
        headers.insert(name.into(), value);
    }
    let properties = plain()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_priority(3)
        .with_correlation_id("c".into())
        .with_reply_to("r".into())
        .with_message_id("0190163d".into())
        .with_timestamp(1_769_984_731)
        .with_type("invoice.paid".into())
        .with_app_id("shop".into());
    desk.add(1, br#"{"invoice_id": 4711}"#, properties).await?;
    desk.collect_all().await?;

    let letters = desk.letters().await?;
    let row = letters.first().context("a row")?;
    for (column, expected) in [
        ("queue", json!(QUEUE)),
        ("return_to", json!("billing")),
        ("message_id", json!("0190163d")),
        ("event_type", json!("invoice.paid")),
        ("routing_key", json!(QUEUE)),
        ("content_type", json!("application/json")),
        ("state", json!("open")),
        ("error_kind", json!("unknown")),
        ("reason", json!(null)),
        ("redelivered", json!(false)),
        ("returns", json!(0)),
        (
            "headers",
            json!({"traceparent": "00-1-2-01", "number": 7, "table": {"inner": true}, "list": ["a", null]}),
        ),
        (
            "properties",
            json!({
                "content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2,
                "priority": 3, "correlation_id": "c", "reply_to": "r", "message_id": "0190163d",
                "timestamp": "2026-02-01T22:25:31Z", "type": "invoice.paid", "app_id": "shop",
            }),
        ),
    ] {
        assert_eq!(row[column], expected, "{column}");
    }
    let body: Vec<u8> = desk.sql.query_one("SELECT body FROM dead_letters", &[]).await?.get(0);
    assert_eq!(body, br#"{"invoice_id": 4711}"#);
    assert_eq!(desk.depth().await?, (0, 0));
    let sessions: i64 =
        desk.sql.query_one("SELECT count(*) FROM dead_letters_sessions", &[]).await?.get(0);
    assert_eq!(sessions, 0, "nothing is left to be recognised");
    Ok(())
}

#[tokio::test]
async fn a_message_that_rabbitmq_dead_lettered_has_its_queue_reason_and_tries() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let arguments = [("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", QUEUE)];
    declare(&desk.channel, "invoices", &arguments).await?;
    let publish = desk.channel.basic_publish(
        "amq.direct".into(),
        "invoice.paid".into(),
        BasicPublishOptions::default(),
        b"x",
        plain(),
    );
    let bind = desk.channel.queue_bind(
        "invoices".into(),
        "amq.direct".into(),
        "invoice.paid".into(),
        lapin::options::QueueBindOptions::default(),
        FieldTable::default(),
    );
    bind.await?;
    publish.await?.await?;
    let got = desk.channel.basic_get("invoices".into(), BasicGetOptions::default()).await?;
    let tag = got.context("a message")?.delivery.delivery_tag;
    desk.channel.basic_reject(tag, BasicRejectOptions { requeue: false }).await?;
    eventually("it is dead-lettered", async || Ok(desk.depth().await?.0 == 1)).await?;
    desk.collect_all().await?;

    let letters = desk.letters().await?;
    let row = letters.first().context("a row")?;
    for (column, expected) in [
        ("return_to", json!("invoices")),
        ("error_kind", json!("rejected")),
        ("tries", json!(1)),
        ("exchange", json!("amq.direct")),
        ("routing_key", json!("invoice.paid")),
        ("event_type", json!("invoice.paid")),
    ] {
        assert_eq!(row[column], expected, "{column}");
    }
    assert!(row["last_failed_at"].is_string(), "{row}");
    assert!(row["headers"]["x-death"].is_array(), "{row}");
    Ok(())
}

#[tokio::test]
async fn what_known_libraries_write_into_headers_is_read() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let tries = |tries| AMQPValue::LongLongInt(tries);
    let ours = [
        ("x-reason", string("customer 17 is unknown")),
        ("x-tries", tries(21)),
        ("x-first-failed-at", string("2026-02-01T22:25:31Z")),
        ("x-last-failed-at", string("2026-02-01T23:25:31Z")),
        ("x-original-exchange", string("orders.events")),
        ("x-original-routing-key", string("order.created")),
    ];
    let spring = [
        ("x-exception-message", string("no such customer")),
        ("x-exception-stacktrace", string("org.example.No: no such customer\n\tat A.b(A.java:7)")),
        ("x-original-exchange", string("orders")),
        ("x-original-routingKey", string("order.created")),
        ("__TypeId__", string("org.example.OrderCreated")),
    ];
    let masstransit = [
        ("MT-Fault-Message", string("no such customer")),
        ("MT-Fault-ExceptionType", string("System.InvalidOperationException")),
        ("MT-Fault-RetryCount", tries(3)),
        ("MT-Fault-Timestamp", string("2026-02-01T22:25:31.1234567Z")),
        ("MT-Fault-InputAddress", string("rabbitmq://broker/shop/orders?prefetch=16")),
    ];
    let nservicebus = [
        ("NServiceBus.ExceptionInfo.Message", string("no such customer")),
        ("NServiceBus.ExceptionInfo.ExceptionType", string("System.Exception")),
        ("NServiceBus.FailedQ", string("sales")),
        ("NServiceBus.TimeOfFailure", string("2026-02-01 22:25:31:123456 Z")),
        ("NServiceBus.EnclosedMessageTypes", string("Shop.OrderCreated, Shop, Version=1.0")),
    ];
    for headers in [&ours[..], &spring, &masstransit, &nservicebus] {
        desk.add_with_headers(b"x", headers).await?;
    }
    desk.collect_all().await?;

    let expected = [
        ("customer 17 is unknown", Some(21), "billing", "order.created", true),
        ("no such customer", None, "billing", "org.example.OrderCreated", false),
        ("System.InvalidOperationException: no such customer", Some(4), "orders", "", true),
        ("System.Exception: no such customer", None, "sales", "Shop.OrderCreated", true),
    ];
    let letters = desk.letters().await?;
    assert_eq!(letters.len(), expected.len());
    for (row, (reason, tries, return_to, event_type, has_time)) in letters.iter().zip(expected) {
        assert_eq!((&row["error_kind"], &row["reason"]), (&json!("failed"), &json!(reason)));
        assert_eq!((&row["tries"], &row["return_to"]), (&json!(tries), &json!(return_to)), "{row}");
        assert_eq!(row["event_type"], event_type, "{row}");
        assert_eq!(row["last_failed_at"].is_string(), has_time, "{row}");
    }
    assert_ne!(letters[0]["fingerprint"], letters[1]["fingerprint"]);

    // A consumer with headers of its own.
    let own = [("why", string("it rains")), ("attempt", string("5")), ("x-reason", string("no"))];
    desk.add_with_headers(b"x", &own).await?;
    let named = ["--reason-header", "why", "--tries-header", "attempt", "--return-to", "elsewhere"];
    let ended = desk.collect(&named).await?;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "Collected from billing.dlq: 1\n"));
    let letters = desk.letters().await?;
    let row = letters.last().context("a row")?;
    assert_eq!((&row["reason"], &row["tries"]), (&json!("it rains"), &json!(5)));
    assert_eq!(row["return_to"], "elsewhere");
    Ok(())
}
