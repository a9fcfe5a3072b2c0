//! `dead-letters collect`: what becomes of each message of a dead-letter queue.

use anyhow::Context as _;
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions};
use lapin::types::{AMQPValue, FieldTable};
use pipeline_tests::command::Ended;
use pipeline_tests::dead_letter_queue::{DeadLetterQueue, QUEUE};
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
    sql.batch_execute(include_str!("../../../sql/dead-letters/schema.sql")).await?;
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
