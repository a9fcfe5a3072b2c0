//! What a row's reserved headers (`amqp-…`) set of its message, and the header `outbox-id`.

use anyhow::Context as _;
use lapin::BasicProperties;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use pipeline_tests::outbox::{EXCHANGE, Outbox, aggregate_id};
use pipeline_tests::reserved_headers::{add, add_with, header, single, stuck_reason};

/// An outbox with the queue `all` on the relay's own exchange.
async fn outbox() -> anyhow::Result<Outbox> {
    let outbox = Outbox::new().await?;
    outbox.queue("all", "#").await?;
    Ok(outbox)
}

fn text(text: &Option<ShortString>) -> Option<&str> {
    text.as_ref().map(ShortString::as_str)
}

#[tokio::test]
async fn each_property_arrives_as_the_row_sets_it() -> anyhow::Result<()> {
    let outbox = outbox().await?;
    let headers = r#"{"amqp-expiration":600000,"amqp-priority":7,"amqp-correlation-id":"request 1",
                      "amqp-reply-to":"answers","amqp-content-type":"application/vnd.shop+json","n":7}"#;
    let id = add(&outbox, "7", headers).await?;
    let text_id = add(&outbox, "7", r#"{"amqp-expiration":"700000","amqp-priority":0}"#).await?;
    outbox.relay(&[])?.until_idle().await?;
    let messages = outbox.take_all("all").await?;
    assert_eq!(messages.len(), 2);
    let properties = &messages[0].delivery.properties;
    assert_eq!(text(properties.expiration()), Some("600000"));
    assert_eq!(properties.priority(), &Some(7));
    assert_eq!(text(properties.correlation_id()), Some("request 1"));
    assert_eq!(text(properties.reply_to()), Some("answers"));
    assert_eq!(text(properties.content_type()), Some("application/vnd.shop+json"));
    assert_eq!(properties.delivery_mode(), &Some(2), "persistent like any other");
    assert_eq!(header(&messages[0], "n"), Some(AMQPValue::LongLongInt(7)));
    assert_eq!(header(&messages[0], "outbox-id"), Some(AMQPValue::LongLongInt(id)));
    let headers = properties.headers().as_ref().context("headers")?.inner();
    let reserved = headers.keys().find(|name| name.as_str().starts_with("amqp-"));
    assert_eq!(reserved, None, "none is sent as a header");
    let properties = &messages[1].delivery.properties;
    assert_eq!(text(properties.expiration()), Some("700000"));
    assert_eq!(properties.priority(), &Some(0));
    assert_eq!(text(properties.content_type()), Some("application/json"));
    assert_eq!(header(&messages[1], "outbox-id"), Some(AMQPValue::LongLongInt(text_id)));
    Ok(())
}

#[tokio::test]
async fn an_event_without_them_is_as_ever_but_for_its_id() -> anyhow::Result<()> {
    let outbox = outbox().await?;
    // A classic queue adds no headers.
    let transient = QueueDeclareOptions { exclusive: true, ..Default::default() };
    outbox.channel.queue_declare("transient".into(), transient, FieldTable::default()).await?;
    outbox.bind("transient", "#").await?;
    outbox
        .sql
        .batch_execute(
            r#"INSERT INTO outbox (event_id, aggregate_type, aggregate_id, event_type, payload, headers, created_at)
               VALUES ('0190163d-8694-739b-aea5-966c26f8ad91', 'order', '7', 'order.created', '{"price":1.10}',
                       '{"n":7,"amqp":"no reserved name"}', '2026-02-01 22:25:31.123456+00')"#,
        )
        .await?;
    outbox.relay(&["--relay-exchanges", "billing"])?.until_idle().await?;
    let message = single(&outbox, "transient").await?;
    let mut headers = FieldTable::default();
    for (name, value) in
        [("amqp", "no reserved name"), ("aggregate-type", "order"), ("aggregate-id", "7")]
    {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    headers.insert("n".into(), AMQPValue::LongLongInt(7));
    headers.insert("outbox-id".into(), AMQPValue::LongLongInt(1));
    let expected = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_message_id("0190163d-8694-739b-aea5-966c26f8ad91".into())
        .with_type("order.created".into())
        .with_timestamp(1_769_984_731)
        .with_app_id("outbox-relay".into())
        .with_headers(headers);
    let delivery = &message.delivery;
    assert_eq!(delivery.properties, expected);
    assert_eq!(
        (delivery.exchange.as_str(), delivery.routing_key.as_str()),
        (EXCHANGE, "order.created")
    );
    let body = concat!(
        r#"{"event_id":"0190163d-8694-739b-aea5-966c26f8ad91","event":"order.created","#,
        r#""occurred_at":"2026-02-01T22:25:31.123456Z","data":{"price": 1.10}}"#
    );
    assert_eq!(std::str::from_utf8(&delivery.data)?, body);
    Ok(())
}

#[tokio::test]
async fn a_payload_in_base64_arrives_as_bytes() -> anyhow::Result<()> {
    let outbox = outbox().await?;
    let base64 = r#"{"amqp-payload-encoding":"base64"}"#;
    // All bytes; PostgreSQL breaks the lines of its base64.
    let all = "to_jsonb(encode((SELECT string_agg(set_byte('\\x00', 0, n), '' ORDER BY n)
                                FROM generate_series(0, 255) AS n), 'base64'))";
    add_with(&outbox, "7", base64, all).await?;
    let typed =
        r#"{"amqp-payload-encoding":"base64","amqp-content-type":"application/x-protobuf"}"#;
    add_with(&outbox, "7", typed, r#"'"CAE="'"#).await?;
    let wrong = add_with(&outbox, "8", base64, r#"'"no base64"'"#).await?;
    let none = ["--relay-envelope", "none"];
    outbox.relay(&none)?.until_idle().await?;
    let messages = outbox.take_all("all").await?;
    let bodies: Vec<&[u8]> = messages.iter().map(|message| &message.delivery.data[..]).collect();
    assert_eq!(bodies, [&(0..=255).collect::<Vec<u8>>()[..], &[8, 1]]);
    let types: Vec<_> =
        messages.iter().map(|message| text(message.delivery.properties.content_type())).collect();
    assert_eq!(types, [Some("application/octet-stream"), Some("application/x-protobuf")]);
    assert_eq!(
        stuck_reason(&outbox, wrong).await?,
        "the header \"amqp-payload-encoding\" is \"base64\", but the payload is no JSON string in base64 \
         (RFC 4648, section 4)"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_makes_its_event_stuck_with_the_reason_and_harms_no_other()
-> anyhow::Result<()> {
    let outbox = outbox().await?;
    let under_envelope = "the header \"amqp-payload-encoding\" is \"base64\", but must be left out unless \
                          RELAY_ENVELOPE=none";
    let wrong = [
        (r#"{"amqp-payload-encoding":"base64"}"#, under_envelope),
        (
            r#"{"amqp-expiration":-1}"#,
            "the header \"amqp-expiration\" is -1, but must be milliseconds",
        ),
        (r#"{"amqp-priority":256}"#, "the header \"amqp-priority\" is 256, but must be an integer"),
        (r#"{"amqp-reply-to":null}"#, "the header \"amqp-reply-to\" is null, but must be a string"),
        (
            r#"{"amqp-reply-to":"amq.rabbitmq.reply-to"}"#,
            "the header \"amqp-reply-to\" is \"amq.rabbitmq.reply-to\", but",
        ),
        (
            r#"{"amqp-delivery-mode":1}"#,
            "the header \"amqp-delivery-mode\" is none of amqp-exchange, ",
        ),
    ];
    let mut ids = Vec::new();
    for (headers, _) in wrong {
        ids.push(add(&outbox, headers, headers).await?);
        add(&outbox, headers, "{}").await?;
    }
    add(&outbox, "beside", "{}").await?;
    outbox.relay(&[])?.until_idle().await?;
    for (id, (_, reason)) in ids.into_iter().zip(wrong) {
        let said = stuck_reason(&outbox, id).await?;
        assert!(said.starts_with(reason), "{said}");
    }
    assert_eq!(aggregate_id(&single(&outbox, "all").await?)?, "beside");
    Ok(())
}
