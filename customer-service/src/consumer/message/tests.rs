use serde_json::json;

use super::*;

const EVENT: &str = "0190b0c1-0000-7000-8000-000000000001";
const CUSTOMER: &str = "11111111-1111-1111-1111-111111111111";

fn default_envelope() -> Value {
    json!({
        "event_id": EVENT, "event": "order.created", "occurred_at": "2026-02-01T22:25:31.123456Z",
        "data": {"order_public_id": EVENT, "customer_public_id": CUSTOMER, "more": [1, {"a": null}]},
        "more": {"deep": [[[1]]]}
    })
}

fn without(member: &str) -> Value {
    let mut body = default_envelope();
    body.as_object_mut().expect("an object").remove(member);
    body
}

fn with(member: &str, value: Value) -> Value {
    let mut body = default_envelope();
    body[member] = value;
    body
}

fn parse_json(body: &Value) -> Parsed {
    parse(body.to_string().as_bytes(), Some("application/json"), None)
}

fn reason(parsed: Parsed) -> String {
    match parsed {
        Parsed::Malformed(reason) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

fn order(parsed: Parsed) -> OrderCreated {
    match parsed {
        Parsed::Order(order) => order,
        other => panic!("no order: {other:?}"),
    }
}

#[test]
fn the_default_envelope_is_read_whatever_else_it_holds() {
    let order = order(parse_json(&default_envelope()));
    assert_eq!(order.event_id.to_string(), EVENT);
    assert_eq!(order.customer_id.to_string(), CUSTOMER);
    let occurred_at = order.occurred_at.expect("a time");
    assert_eq!(occurred_at.unix_timestamp(), 1_769_984_731);
}

#[test]
fn a_cloud_event_is_known_by_its_specversion_or_its_content_type() {
    let mut body = json!({
        "specversion": "1.0", "id": EVENT, "source": "/orders", "type": "order.created",
        "time": "2026-02-01T22:25:31Z", "datacontenttype": "application/json",
        "data": {"customer_public_id": CUSTOMER}
    });
    assert_eq!(order(parse_json(&body)).event_id.to_string(), EVENT);

    body.as_object_mut().expect("an object").remove("specversion");
    let content_type = Some("application/CloudEvents+JSON; charset=utf-8");
    let parsed = parse(body.to_string().as_bytes(), content_type, None);
    assert!(order(parsed).occurred_at.is_some());
    assert!(reason(parse_json(&body)).contains("event is missing"));
}

#[test]
fn other_types_are_ignored_whatever_they_hold() {
    assert_eq!(parse_json(&with("event", json!("order.shipped"))), Parsed::Ignored);
    assert_eq!(parse_json(&json!({"event": "order.cancelled"})), Parsed::Ignored);
}

#[test]
fn a_body_without_a_type_takes_the_messages_type() {
    let body = without("event").to_string();
    order(parse(body.as_bytes(), None, Some("order.created")));
    assert_eq!(parse(body.as_bytes(), None, Some("order.shipped")), Parsed::Ignored);
    assert_eq!(reason(parse(body.as_bytes(), None, None)), "the body's member event is missing");
    // What the body says goes before what the property says.
    let body = default_envelope().to_string();
    order(parse(body.as_bytes(), None, Some("order.shipped")));
}

#[test]
fn a_missing_or_wrong_member_is_named() {
    for (body, expected) in [
        (without("event_id"), "the body's member event_id is missing"),
        (with("event_id", Value::Null), "the body's member event_id is missing"),
        (with("event_id", json!("42")), "event_id is no UUID"),
        (with("event_id", json!(42)), "event_id is no UUID"),
        (with("event", json!(["order.created"])), "event is no string"),
        (without("data"), "the body's member data is missing"),
        (with("data", json!("text")), "data is no JSON object"),
        (with("data", json!([CUSTOMER])), "data is no JSON object"),
        (with("data", json!({})), "the body's member data.customer_public_id is missing"),
        (with("data", json!({"customer_public_id": "Juan"})), "data.customer_public_id is no UUID"),
        (with("data", json!({"customer_public_id": {}})), "data.customer_public_id is no UUID"),
    ] {
        assert_eq!(reason(parse_json(&body)), expected, "{body}");
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    for body in ["", " ", "order", "{", "{\"event_id\":", "\u{feff}{}", "{} {}", "[", "\0"] {
        let reason = reason(parse(body.as_bytes(), None, Some("order.created")));
        assert!(reason.starts_with("the body is no"), "{body:?}: {reason}");
    }
    for body in ["null", "true", "17", "\"text\"", "[]", " [1, 2, 3, 4, 5, 6, 7, 8]"] {
        reason(parse(body.as_bytes(), None, Some("order.created")));
    }
    reason(parse(&[0xff, 0xfe, 0x00], None, Some("order.created")));
    reason(parse(b"{\"event\":\"\xff\"}", None, None));
}

#[test]
fn a_member_that_stands_twice_is_refused() {
    let body =
        format!(r#"{{"event_id":"{EVENT}","event_id":"{CUSTOMER}","event":"order.created"}}"#);
    assert!(reason(parse(body.as_bytes(), None, None)).contains("duplicate field `event_id`"));
}

#[test]
fn deep_and_large_bodies_are_refused_without_harm() {
    let deep = format!(r#"{{"event":"order.created","event_id":{}"#, "[".repeat(100_000));
    assert!(reason(parse(deep.as_bytes(), None, None)).contains("recursion limit"));
    let deep = format!(r#"{{"event":"order.created","data":{}"#, "{\"a\":".repeat(100_000));
    reason(parse(deep.as_bytes(), None, None));
    let large = vec![b' '; MAX_BODY_SIZE + 1];
    assert!(reason(parse(&large, None, None)).contains("larger than"));
}

#[test]
fn a_time_that_is_none_does_no_harm() {
    for time in [json!("yesterday"), json!(17), Value::Null] {
        assert_eq!(order(parse_json(&with("occurred_at", time))).occurred_at, None);
    }
}

#[test]
fn a_body_that_is_not_utf_8_is_malformed_wherever_that_is() {
    let body = default_envelope().to_string();
    let body = body.replacen('{', "{\"more\":\"\u{1}\",", 1).into_bytes();
    let body: Vec<u8> = body.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    let reason = reason(parse(&body, Some("application/json"), None));
    assert!(reason.starts_with("the body is not JSON: it is not UTF-8"), "{reason}");
}

#[test]
fn a_reason_is_short_however_much_of_the_body_it_quotes() {
    let reason = reason(parse_json(&json!("x".repeat(100_000))));
    assert!(reason.starts_with("the body is no event:"), "{reason}");
    assert_eq!(reason.len(), 500);
}
