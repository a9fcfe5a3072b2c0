use amq_protocol::frame::parsing::parse_content_header;
use service_kit::config::try_parse_from;

use super::*;
use crate::cli::Cli;
use crate::publish::event::tests::event;

const FRAME: usize = 131_072;

fn builder(args: &[&str]) -> MessageBuilder {
    let urls = ["--database-url", "postgres://u@h/d", "--rabbitmq-url", "amqp://h"];
    let cli: Cli = try_parse_from([&["outbox-relay", "run"], &urls[..], args].concat())
        .expect("good settings");
    MessageBuilder::new(&cli.into_config().expect("good settings").relay)
}

#[test]
fn the_properties_are_the_contracts() {
    let message = builder(&["--relay-app-id", "shop"]).build(&event(), FRAME).expect("a message");
    assert_eq!(message.wire.routing_key.as_str(), "order.created");
    let (rest, header) =
        parse_content_header(message.wire.content_header.as_slice()).expect("well-formed");
    assert_eq!((rest.len(), header.body_size), (0, message.wire.body.len() as u64));
    let properties = header.properties;
    assert_eq!(properties.delivery_mode(), &Some(2));
    assert_eq!(properties.content_type().as_ref().expect("set").as_str(), "application/json");
    assert_eq!(
        properties.message_id().as_ref().expect("set").as_str(),
        "0190163d-8694-739b-aea5-966c26f8ad91"
    );
    assert_eq!(properties.kind().as_ref().expect("set").as_str(), "order.created");
    assert_eq!(properties.timestamp(), &Some(1_769_984_731));
    assert_eq!(properties.app_id().as_ref().expect("set").as_str(), "shop");
    let headers = properties.headers().as_ref().expect("set").inner();
    assert_eq!(headers.len(), 4);
    assert!(matches!(headers.get("traceparent"), Some(AMQPValue::LongString(_))));
    assert_eq!(headers.get("outbox-id"), Some(&AMQPValue::LongLongInt(1)));
    assert_eq!(message.wire.exchange, None);
    let unset = [properties.expiration(), properties.correlation_id(), properties.reply_to()];
    assert_eq!((unset, properties.priority()), ([&None; 3], &None));
}

fn with_headers(headers: &str) -> Event {
    Event { headers: headers.to_owned(), ..event() }
}

#[test]
fn a_row_sets_properties_and_the_exchange_of_its_message() {
    let builder = builder(&["--relay-exchanges", "billing, audit"]);
    let event = with_headers(
        r#"{"amqp-exchange":"audit","amqp-content-type":"application/vnd.shop+json","amqp-priority":3,"x-delay":9}"#,
    );
    let message = builder.build(&event, FRAME).expect("a message");
    assert_eq!(message.wire.exchange, Some("audit".into()));
    assert!(message.asks_for_delay);
    let (_, header) =
        parse_content_header(message.wire.content_header.as_slice()).expect("well-formed");
    let properties = header.properties;
    assert_eq!(properties.content_type(), &Some("application/vnd.shop+json".into()));
    assert_eq!(properties.priority(), &Some(3));
    assert_eq!(properties.headers().as_ref().expect("set").inner().len(), 4);
    let own = with_headers(r#"{"amqp-exchange":"orders.events"}"#);
    assert_eq!(builder.build(&own, FRAME).expect("a message").wire.exchange, None);
    let other = with_headers(r#"{"amqp-exchange":"bill"}"#);
    assert_eq!(
        builder.build(&other, FRAME).expect_err("it is not listed"),
        "the header \"amqp-exchange\" is \"bill\", but must be orders.events or billing or audit \
         (RELAY_EXCHANGES)"
    );
}

#[test]
fn a_payload_in_base64_is_a_body_of_bytes_where_there_is_no_envelope() {
    let encoded = |payload: &str| Event {
        payload: payload.to_owned(),
        ..with_headers(r#"{"amqp-payload-encoding":"base64"}"#)
    };
    let none = builder(&["--relay-envelope", "none"]);
    let message = none.build(&encoded(r#""AP8Q""#), FRAME).expect("a message");
    assert_eq!(&message.wire.body[..], b"\x00\xff\x10");
    let (_, header) =
        parse_content_header(message.wire.content_header.as_slice()).expect("well-formed");
    assert_eq!(header.body_size, 3);
    assert_eq!(header.properties.content_type(), &Some("application/octet-stream".into()));
    assert!(none.build(&encoded(r#"{"a":1}"#), FRAME).is_err());
    for envelope in ["default", "cloudevents"] {
        let refused = builder(&["--relay-envelope", envelope]).build(&encoded(r#""AP8Q""#), FRAME);
        assert_eq!(
            refused.expect_err("it would be a part of JSON"),
            "the header \"amqp-payload-encoding\" is \"base64\", but must be left out unless \
             RELAY_ENVELOPE=none"
        );
    }
}

#[test]
fn a_row_that_can_not_be_a_message_says_why() {
    let builder = builder(&[]);
    let refusal = |change: &dyn Fn(&mut Event)| {
        let mut event = event();
        change(&mut event);
        builder.build(&event, FRAME).expect_err("no message")
    };
    assert_eq!(
        refusal(&|event| event.event_type = "x".repeat(256)),
        "event_type is the routing key and 256 bytes long, AMQP allows 255"
    );
    assert_eq!(
        refusal(&|event| event.created_at = None),
        "created_at is not a time from 1970 to 9999"
    );
    assert_eq!(
        refusal(&|event| event.unfit = Some("its contents can't be read".to_owned())),
        "its contents can't be read"
    );
    assert!(
        refusal(&|event| event.aggregate_id = "x".repeat(FRAME)).starts_with("the headers and")
    );
    assert!(
        refusal(&|event| event.headers = "7".to_owned()).starts_with("the headers are a number")
    );
}

#[test]
fn the_longest_headers_fit_into_a_frame_beside_the_longest_properties() {
    let longest = "x".repeat(255);
    let headers = format!(
        r#"{{"amqp-correlation-id":"{longest}","amqp-reply-to":"{longest}","amqp-content-type":"{longest}",
            "amqp-expiration":4294967295,"amqp-priority":255}}"#
    );
    let builder = builder(&["--relay-app-id", &longest]);
    let build = |length| {
        let (event_type, aggregate_id) = (longest.clone(), "y".repeat(length));
        builder.build(&Event { event_type, aggregate_id, ..with_headers(&headers) }, FRAME)
    };
    let accepted = (0..=room(FRAME)).rev().find_map(|length| build(length).ok());
    let header = accepted.expect("a shorter name").wire.content_header;
    // A frame has eight bytes besides (AMQP 0-9-1, 4.2.3).
    assert!(header.as_slice().len() + 8 <= FRAME, "{} bytes", header.as_slice().len());
}

#[test]
fn the_longest_routing_key_and_a_long_aggregate_are_fine() {
    let (event_type, aggregate_type) = ("x".repeat(255), "y".repeat(300));
    let event = Event { event_type, aggregate_type, ..event() };
    assert!(builder(&[]).build(&event, FRAME).is_ok());
}
