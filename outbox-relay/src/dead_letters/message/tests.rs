use std::time::Duration;

use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::types::AMQPValue;
use amqp::{DeliveryInfo, content_header};

use super::*;

const QUEUE: &str = "billing.dlq";

fn reading(return_to: Option<&str>) -> Reading {
    let args = CollectorArgs {
        queue: QUEUE.to_owned(),
        return_to: return_to.map(ToOwned::to_owned),
        reason_header: None,
        tries_header: None,
        prefetch: 2,
        statement_timeout: Duration::from_secs(1),
    };
    Reading::new(&args, "/")
}

fn delivery(properties: &AMQPProperties) -> Delivery {
    let info = DeliveryInfo {
        tag: 7,
        redelivered: true,
        exchange: "billing.dlx".to_owned(),
        routing_key: QUEUE.to_owned(),
    };
    Delivery::new(info, content_header(1, properties), b"x"[..].into())
}

fn with_headers(values: Vec<(&str, AMQPValue)>) -> Delivery {
    let mut table = FieldTable::default();
    for (name, value) in values {
        table.insert(name.into(), value);
    }
    delivery(&AMQPProperties::default().with_headers(table))
}

fn string(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn death(queue: &str, reason: &str, count: i64, time: u64) -> AMQPValue {
    let mut entry = FieldTable::default();
    for (name, value) in [
        ("queue", string(queue)),
        ("reason", string(reason)),
        ("exchange", string("shop")),
        ("routing-keys", AMQPValue::FieldArray(vec![string("invoice.paid")].into())),
        ("count", AMQPValue::LongLongInt(count)),
        ("time", AMQPValue::Timestamp(time)),
    ] {
        entry.insert(name.into(), value);
    }
    AMQPValue::FieldTable(entry)
}

#[test]
fn a_message_that_rabbitmq_dead_lettered_tells_by_its_deaths() {
    let deaths =
        vec![death("billing", "rejected", 3, 20), death("billing.retry", "expired", 2, 10)];
    let row =
        reading(None).read(with_headers(vec![("x-death", AMQPValue::FieldArray(deaths.into()))]));
    assert_eq!((row.kind, row.reason, row.tries), ("rejected", None, Some(3)));
    assert_eq!(row.return_to.as_deref(), Some("billing"));
    assert_eq!((row.exchange.as_str(), row.routing_key.as_str()), ("shop", "invoice.paid"));
    assert_eq!(row.event_type, "invoice.paid");
    assert_eq!(row.first_failed_at.as_deref(), Some("1970-01-01T00:00:10Z"));
    assert_eq!(row.last_failed_at.as_deref(), Some("1970-01-01T00:00:20Z"));
    assert_eq!((row.tag, row.redelivered), (7, true));
}

#[test]
fn the_consumers_own_headers_say_more_than_deaths() {
    let row = reading(None).read(with_headers(vec![
        ("x-death", AMQPValue::FieldArray(vec![death("other", "expired", 9, 20)].into())),
        ("x-reason", string("customer 17 is unknown")),
        ("x-tries", AMQPValue::LongLongInt(21)),
        ("x-last-failed-at", string("2026-02-01T22:25:31Z")),
        ("x-original-exchange", string("orders.events")),
        ("x-original-routing-key", string("order.created")),
    ]));
    assert_eq!((row.kind, row.tries), ("failed", Some(21)));
    assert_eq!(row.fingerprint, Fingerprint::of("customer 18 is unknown").to_string());
    assert_eq!(row.last_failed_at.as_deref(), Some("2026-02-01T22:25:31Z"));
    assert_eq!(
        (row.exchange.as_str(), row.event_type.as_str()),
        ("orders.events", "order.created")
    );
}

#[test]
fn a_message_that_says_nothing_is_a_row_as_well() {
    let row = reading(None).read(delivery(&AMQPProperties::default()));
    assert_eq!((row.kind, row.reason, row.tries), ("unknown", None, None));
    assert_eq!((row.event_type.as_str(), row.routing_key.as_str()), ("", QUEUE));
    assert_eq!(row.return_to.as_deref(), Some("billing"));
    assert_eq!((row.properties.as_str(), row.headers.as_str()), ("{}", "{}"));
    let row = reading(Some("elsewhere")).read(delivery(&AMQPProperties::default()));
    assert_eq!(row.return_to.as_deref(), Some("elsewhere"));
}

#[test]
fn a_returned_message_names_its_row() {
    for (text, expected) in [
        ("billing.dlq/17", Some(("billing.dlq", 17))),
        ("a/b/17", Some(("a/b", 17))),
        ("billing.dlq", None),
        ("billing.dlq/x", None),
    ] {
        let row = reading(None).read(with_headers(vec![(RETURNED_FROM, string(text))]));
        let found = row.returned_from.as_ref().map(|(queue, id)| (queue.as_str(), *id));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn texts_can_be_reduced_to_ascii() {
    let properties = AMQPProperties::default().with_type("bestellung.geändert".into());
    let mut row = reading(None).read(delivery(&properties));
    row.reduce_to_ascii();
    assert_eq!(row.event_type, "bestellung.ge?ndert");
    assert_eq!(row.properties, r#"{"type":"bestellung.ge?ndert"}"#);
}
