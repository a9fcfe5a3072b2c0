use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::ShortString;
use amqp::{DeliveryInfo, content_header};

use super::*;

const NOON: OffsetDateTime = time::macros::datetime!(2026-02-01 12:00 UTC);

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn delivery<const N: usize>(headers: [(&str, AMQPValue); N]) -> Delivery {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(name.into(), value);
    }
    let info = DeliveryInfo {
        tag: 1,
        redelivered: false,
        exchange: "orders.events".to_owned(),
        routing_key: "order.created".to_owned(),
    };
    let properties = BasicProperties::default().with_headers(table);
    Delivery::new(info, content_header(0, &properties), Vec::new().into())
}

fn copied<const N: usize>(headers: [(&str, AMQPValue); N]) -> FieldTable {
    for_redirect(&delivery(headers), "why", NOON, &[(RETRY_COUNT, 3)], 100_000)
}

#[test]
fn a_message_that_was_moved_back_from_the_dead_letter_queue_loses_its_tries() {
    assert!(!copied([(TRIES, AMQPValue::LongLongInt(21))]).contains_key(TRIES));
}

#[test]
fn the_headers_of_others_are_kept_and_those_of_the_broker_are_not() {
    let copy = copied([
        ("traceparent", text("00-ab-cd-01")),
        ("aggregate-id", AMQPValue::LongLongInt(5)),
        ("x-death", AMQPValue::Void),
        ("x-first-death-queue", text("q")),
        ("x-last-death-reason", text("expired")),
        ("x-delivery-count", AMQPValue::LongLongInt(5)),
        ("CC", AMQPValue::Void),
    ]);
    let names: Vec<&str> = copy.inner().keys().map(ShortString::as_str).collect();
    assert_eq!(
        names,
        [
            "aggregate-id",
            "traceparent",
            FIRST_FAILED_AT,
            LAST_FAILED_AT,
            ORIGINAL_EXCHANGE,
            ORIGINAL_ROUTING_KEY,
            REASON,
            RETRY_COUNT,
        ]
    );
    assert_eq!(copy.inner()[ORIGINAL_ROUTING_KEY], text("order.created"));
    assert_eq!(copy.inner()[FIRST_FAILED_AT], text("2026-02-01T12:00:00Z"));
}

#[test]
fn the_first_failure_and_the_origin_outlast_every_retry() {
    let copy = copied([
        (FIRST_FAILED_AT, text("2026-01-31T00:00:00Z")),
        (LAST_FAILED_AT, text("2026-01-31T00:00:00Z")),
        (ORIGINAL_EXCHANGE, text("first")),
        (ORIGINAL_ROUTING_KEY, text("order.created.eu")),
        (REASON, text("before")),
    ]);
    let value = |name: &str| copy.inner()[name].clone();
    assert_eq!(value(FIRST_FAILED_AT), text("2026-01-31T00:00:00Z"));
    assert_eq!(value(LAST_FAILED_AT), text("2026-02-01T12:00:00Z"));
    assert_eq!(value(ORIGINAL_EXCHANGE), text("first"));
    assert_eq!(value(ORIGINAL_ROUTING_KEY), text("order.created.eu"));
    assert_eq!(value(REASON), text("why"));
    assert_eq!(value(RETRY_COUNT), AMQPValue::LongLongInt(3));
}

#[test]
fn a_first_failure_that_is_no_time_is_replaced() {
    for absurd in [text("once upon a time"), AMQPValue::Boolean(false), text("")] {
        let copy = copied([(FIRST_FAILED_AT, absurd)]);
        assert_eq!(copy.inner()[FIRST_FAILED_AT], text("2026-02-01T12:00:00Z"));
    }
}

#[test]
fn headers_that_would_burst_the_frame_leave_only_ours() {
    let mut nested = FieldTable::default();
    nested.insert("deep".into(), text(&"x".repeat(60_000)));
    let array = AMQPValue::FieldArray(vec![text(&"x".repeat(60_000))].into());
    let copy = copied([("big", AMQPValue::FieldTable(nested)), ("bigger", array)]);
    assert_eq!(copy.inner().len(), 6);
    assert!(copy.contains_key(REASON));
}

#[test]
fn headers_of_ours_that_others_wrote_do_not_burst_the_frame_either() {
    let long = || text(&"x".repeat(60_000));
    let ours = for_same_route(
        &delivery([
            ("big", long()),
            (REASON, long()),
            (FIRST_FAILED_AT, AMQPValue::FieldArray(vec![long()].into())),
            (LAST_FAILED_AT, text("2026-02-01T12:00:00Z")),
            (RETRY_COUNT, AMQPValue::LongLongInt(3)),
        ]),
        100_000,
    );
    let names: Vec<&str> = ours.inner().keys().map(ShortString::as_str).collect();
    assert_eq!(names, [LAST_FAILED_AT, ORIGINAL_EXCHANGE, ORIGINAL_ROUTING_KEY, RETRY_COUNT]);
    assert_eq!(ours.inner()[ORIGINAL_EXCHANGE], text("orders.events"));
    // The longest that the consumer writes.
    let reason = text(&"🦀".repeat(MAX_REASON_CHARS));
    let ours = for_same_route(&delivery([("big", long()), (REASON, reason.clone())]), 10_000);
    assert_eq!(ours.inner()[REASON], reason);
}

#[test]
fn a_reason_is_cut_where_nobody_reads_on() {
    let copy = for_redirect(&delivery([]), &"ü".repeat(10_000), NOON, &[], 100_000);
    assert_eq!(copy.inner()[REASON], text(&"ü".repeat(MAX_REASON_CHARS)));
}

#[test]
fn an_absurd_retry_count_counts_as_none_and_a_huge_one_as_exhausted() {
    for (value, expected) in [
        (AMQPValue::LongLongInt(7), 7),
        (AMQPValue::ShortShortUInt(7), 7),
        (AMQPValue::LongLongInt(-1), 0),
        (AMQPValue::LongInt(i32::MIN), 0),
        (AMQPValue::LongLongInt(i64::MAX), u32::MAX),
        (AMQPValue::LongString("7".into()), 0),
        (AMQPValue::Void, 0),
        (AMQPValue::Boolean(true), 0),
        (AMQPValue::FieldTable(FieldTable::default()), 0),
    ] {
        let message = delivery([(RETRY_COUNT, value.clone())]);
        assert_eq!(retry_count(&message), expected, "{value:?}");
    }
    assert_eq!(retry_count(&delivery([])), 0);
}

#[test]
fn a_message_moved_back_from_the_dead_letter_queue_has_had_no_retries() {
    let tries = (TRIES, AMQPValue::LongLongInt(21));
    assert_eq!(retry_count(&delivery([(RETRY_COUNT, AMQPValue::LongLongInt(20)), tries])), 0);
}
