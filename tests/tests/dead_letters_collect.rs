//! `dead-letters collect`: what becomes of each message of a dead-letter queue.

use anyhow::Context as _;
use lapin::BasicProperties;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, BasicRejectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::command::Ended;
use pipeline_tests::dead_letter_queue::{DeadLetterQueue, QUEUE, declare};
use pipeline_tests::malformed_message::{Malformed, publish_malformed};
use pipeline_tests::outbox::eventually;
use pipeline_tests::pipeline::connect;
use pipeline_tests::relay_command::outbox_relay;
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

#[tokio::test]
async fn hostile_messages_are_rows_like_any_other() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let url = &desk.broker.amqp_url;
    for foreign in [Malformed::Latin1, Malformed::NestedHeader] {
        publish_malformed(url, "", QUEUE, foreign, b"malformed".to_vec()).await?;
    }
    // Text that is neither UTF-8 nor without NUL, and half of a pair of surrogates.
    let bytes = AMQPValue::LongString(b"\xff\x00\xed\xa0\x80!".to_vec().into());
    let fields = [("x-reason", bytes.clone()), ("other", bytes)];
    desk.add_with_headers(b"\xff\x00", &fields).await?;
    let many: Vec<String> = (0..3000).map(|number| format!("header-{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), string("x"))).collect();
    desk.add_with_headers(b"many", &many).await?;
    desk.add_with_headers(b"huge", &[("x-reason", string(&"\u{1f600}".repeat(25_000)))]).await?;
    // The known headers with types that make no sense.
    let void = ["x-death", "x-reason", "x-tries", "x-last-failed-at", "x-returned-from"];
    let void: Vec<_> = void.iter().map(|name| (*name, AMQPValue::Void)).collect();
    desk.add_with_headers(b"void", &void).await?;
    desk.add_with_headers(b"tries", &[("x-tries", AMQPValue::LongLongInt(i64::MAX))]).await?;
    desk.add_with_headers(b"far", &[("x-last-failed-at", AMQPValue::Timestamp(u64::MAX))]).await?;
    // RFC 3339 allows it, and PostgreSQL does not.
    let east = string("2026-02-01T22:25:31+20:00");
    desk.add_with_headers(b"east", &[("x-last-failed-at", east)]).await?;
    desk.add(1, b"", plain().with_type("\0".into()).with_message_id("\0".into())).await?;
    // RabbitMQ 4 takes no more than 16 MiB, others 128 MiB.
    let large = vec![b'x'; 64 << 20];
    let size = if desk.add(1, &large, plain()).await.is_ok() {
        large.len()
    } else {
        let (_connection, channel) = reopened(url).await?;
        let (key, options) = (QUEUE.into(), BasicPublishOptions::default());
        let publish = channel.basic_publish("".into(), key, options, &large[..15 << 20], plain());
        publish.await?.await?;
        15 << 20
    };
    let ended = desk.collect(&["--json"]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        ended.json()?,
        json!({ "stored": 11, "known": 0, "refused": [], "is_incomplete": false })
    );

    let letters = desk.letters().await?;
    assert_eq!(letters.len(), 11);
    let reasons: Vec<_> = letters.iter().filter_map(|row| row["reason"].as_str()).collect();
    assert!(reasons[0].ends_with('!') && reasons[0].starts_with('\u{fffd}'), "{}", reasons[0]);
    assert_eq!(reasons[1].chars().count(), 4000);
    assert_eq!(letters[3]["headers"].as_object().map(serde_json::Map::len), Some(3000));
    let sizes = "SELECT octet_length(body) FROM dead_letters ORDER BY id DESC LIMIT 1";
    let stored: i32 = desk.sql.query_one(sizes, &[]).await?.get(0);
    assert_eq!(usize::try_from(stored)?, size);
    // Headers that can't be shown as JSON are kept as bytes.
    let kept = "SELECT octet_length(content_header) FROM dead_letters WHERE headers = '{}' ORDER BY id LIMIT 2";
    let kept: Vec<i32> = desk.sql.query(kept, &[]).await?.iter().map(|row| row.get(0)).collect();
    assert!(kept.len() == 2 && kept[1] > 25_000, "{kept:?}");
    Ok(())
}

/// A channel in confirm mode on a connection of its own.
async fn reopened(url: &str) -> anyhow::Result<(lapin::Connection, lapin::Channel)> {
    let connection =
        lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

#[tokio::test]
async fn what_the_database_refuses_stays_in_the_queue_and_the_others_go_on() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    desk.sql
        .batch_execute("ALTER TABLE dead_letters ADD CONSTRAINT no_bad CHECK (message_id IS DISTINCT FROM 'bad')")
        .await?;
    for number in 0..30 {
        let id = if number % 10 == 7 { "bad" } else { "good" };
        desk.add(1, b"x", plain().with_message_id(id.into())).await?;
    }
    let ended = desk.collect(&["--json"]).await?;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let told = ended.json()?;
    assert_eq!((&told["stored"], &told["known"]), (&json!(27), &json!(0)));
    let refused = told["refused"].as_array().context("a list")?;
    assert_eq!(refused.len(), 3);
    let said = refused[0].as_str().context("a text")?;
    assert!(said.starts_with("message_id bad: ") && said.contains("no_bad"), "{said}");
    eventually("they are back", async || Ok(desk.depth().await? == (3, 0))).await?;
    assert_eq!(desk.rows().await?, 27);

    desk.sql.batch_execute("ALTER TABLE dead_letters DROP CONSTRAINT no_bad").await?;
    desk.collect_all().await?;
    assert_eq!((desk.rows().await?, desk.depth().await?.0), (30, 0));
    Ok(())
}

#[tokio::test]
async fn a_returned_message_that_dies_again_is_linked_to_its_row() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    desk.add(1, b"x", plain()).await?;
    desk.collect_all().await?;
    let first = desk.letters().await?[0]["id"].as_i64().context("an id")?;
    let from = |queue: &str, id: i64| [("x-returned-from", string(&format!("{queue}/{id}")))];

    // The row was never returned, so the header does not link the message to it.
    desk.add_with_headers(b"x", &from(QUEUE, first)).await?;
    desk.collect_all().await?;
    for state in ["returned", "returning"] {
        let settle = "UPDATE dead_letters SET state = $2, settled_at = CASE $2 WHEN 'returned' THEN now() END, returns = 1 WHERE id = $1";
        desk.sql.execute(settle, &[&first, &state]).await?;
        desk.add_with_headers(b"x", &from(QUEUE, first)).await?;
        desk.collect_all().await?;
    }
    desk.add_with_headers(b"x", &from("another.dlq", first)).await?;
    desk.add_with_headers(b"x", &from(QUEUE, first + 1000)).await?;
    desk.collect_all().await?;

    let links: Vec<_> = desk
        .letters()
        .await?
        .iter()
        .map(|row| (row["earlier_id"].as_i64(), row["returns"].as_i64()))
        .collect();
    let (none, linked) = ((None, Some(0)), (Some(first), Some(2)));
    assert_eq!(links, [(None, Some(1)), none, linked, linked, none, none]);
    Ok(())
}

#[tokio::test]
async fn a_message_that_another_consumer_requeued_is_a_row_although_it_was_delivered() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    // The same message three times, of which one has a row already.
    desk.add(1, b"x", plain()).await?;
    desk.collect_all().await?;
    desk.add(2, b"x", plain()).await?;
    for _ in 0..2 {
        let got = desk.channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await?;
        let tag = got.context("a message")?.delivery.delivery_tag;
        let nack = BasicNackOptions { requeue: true, multiple: false };
        desk.channel.basic_nack(tag, nack).await?;
    }
    desk.collect_all().await?;
    let letters = desk.letters().await?;
    assert_eq!(letters.len(), 3);
    assert!(letters[1]["redelivered"] == true && letters[2]["redelivered"] == true, "{letters:?}");
    Ok(())
}

#[tokio::test]
async fn a_database_in_latin1_gets_what_it_can_hold() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let servers = stack::shared().await?;
    let name = format!("latin1_desk_{}", std::process::id());
    let create = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    connect(&servers.postgres.url("postgres")).await?.batch_execute(&create).await?;
    let url = servers.postgres.url(&name);
    let sql = connect(&url).await?;
    sql.batch_execute(include_str!("../../sql/dead-letters/schema.sql")).await?;
    desk.add_with_headers(b"x", &[("x-reason", string("Bogotá"))]).await?;
    desk.add_with_headers("Ω".as_bytes(), &[("x-reason", string("Ω is unknown"))]).await?;
    let settings =
        [("DATABASE_URL", url.as_str()), ("RABBITMQ_URL", desk.broker.amqp_url.as_str())];
    let ended = outbox_relay(&["dead-letters", "collect", "--queue", QUEUE], &settings).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let rows = sql.query("SELECT reason, body FROM dead_letters ORDER BY id", &[]).await?;
    let rows: Vec<(String, Vec<u8>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [("Bogotá", "x"), ("? is unknown", "Ω")];
    assert_eq!(rows, expected.map(|(text, body)| (text.to_owned(), body.as_bytes().to_vec())));
    drop(sql);
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    connect(&servers.postgres.url("postgres")).await?.batch_execute(&drop).await?;
    Ok(())
}

#[tokio::test]
async fn each_reason_not_to_collect_is_one_error_line() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let said = |ended: &Ended, code, part: &str| {
        assert!(ended.code == Some(code) && ended.out.is_empty(), "{ended:?}");
        assert!(ended.err.starts_with("error: ") && ended.err.contains(part), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    };
    let empty = desk.collect(&[]).await?;
    assert_eq!((empty.code, empty.out.as_str()), (Some(0), "Collected from billing.dlq: 0\n"));

    let database = ("DEAD_LETTERS_DATABASE_URL", desk.database.url.as_str());
    let broker = ("RABBITMQ_URL", desk.broker.amqp_url.as_str());
    let collect = |queue| ["dead-letters", "collect", "--queue", queue];
    let missing = outbox_relay(&collect("no.such.queue"), &[database, broker]).await?;
    said(&missing, 1, "is no.such.queue the right name");
    said(
        &outbox_relay(&collect(QUEUE), &[broker]).await?,
        64,
        "DEAD_LETTERS_DATABASE_URL is not set",
    );
    said(&outbox_relay(&collect(""), &[database, broker]).await?, 64, "DEAD_LETTERS_QUEUE");
    let follow = [&collect(QUEUE)[..], &["--follow"]].concat();
    let wrong = [database, broker, ("DEAD_LETTERS_RETENTION", "5s")];
    said(&outbox_relay(&follow, &wrong).await?, 64, "DEAD_LETTERS_RETENTION");

    let other = stack::shared().await?.database("empty").await?;
    let ended =
        outbox_relay(&collect(QUEUE), &[("DATABASE_URL", other.url.as_str()), broker]).await?;
    said(&ended, 1, "outbox-relay dead-letters schema");

    // Another collector is at work.
    let collector = desk.follow(&[]).await?;
    eventually("it collects", async || Ok(desk.depth().await?.1 == 1)).await?;
    said(&desk.collect(&[]).await?, 1, "another collector collects billing.dlq");
    collector.sigkill()?;
    Ok(())
}

#[tokio::test]
async fn other_consumers_of_the_queue_do_no_harm() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    let (connection, channel) = reopened(&desk.broker.amqp_url).await?;
    let options = BasicConsumeOptions::default();
    let consuming =
        channel.basic_consume(QUEUE.into(), "other".into(), options, FieldTable::default());
    let consumer = consuming.await?;
    desk.add(100, b"x", plain()).await?;
    let ended = desk.collect(&["--json"]).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let stored = ended.json()?["stored"].as_i64().context("a number")?;
    assert_eq!(stored, desk.rows().await?);
    // What the other one was given comes back, and is collected as well.
    drop((consumer, channel, connection));
    let left = u32::try_from(100 - stored)?;
    eventually("they are back", async || Ok(desk.depth().await?.0 == left)).await?;
    desk.collect_all().await?;
    assert_eq!(desk.rows().await?, 100);
    Ok(())
}
