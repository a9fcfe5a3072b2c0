//! A message as the consumer has it: parsed, and published again.

use amqp::{ContentHeader, Delivery};
use customer_service::consumer::fuzz::{Event, copies, parse};
use serde_json::Value;
use uuid::Uuid;

use crate::delivery::{delivery, parts};
use crate::memory::within;

/// Room for the headers of a copy.
const ROOM: usize = 4096;

/// Room for the other properties of a copy: each has at most 255 bytes.
const OTHER: usize = 4096;

/// The longest reason why a message can't be processed, in characters: it is logged.
const LONGEST_REASON: usize = 500;

/// A message is an order only if its body says so; whatever it is, a copy of it can be published.
pub fn consumer_message(data: &[u8]) {
    within(256 * 1024 + 400 * data.len(), || {
        let (content_header, body) = parts(data);
        let (message, event) = parse(delivery(content_header, body));
        let mut reason = "the customer is unknown".to_owned();
        match event {
            Event::Order(event_id, customer_id) => says_so(&message, event_id, customer_id),
            Event::Ignored => {}
            Event::Malformed(why) => {
                let length = why.chars().count();
                assert!((1..=LONGEST_REASON).contains(&length), "{length} characters");
                reason = why;
            }
        }
        for copy in copies(&message, &reason, ROOM) {
            assert_eq!(copy.body, message.body);
            assert!(copy.content_header.len() <= ROOM + OTHER);
            let header = ContentHeader::read(&copy.content_header).expect("a content header");
            let name = |name: &[u8]| header.header_names().any(|other| other == name);
            assert!(!name(b"x-death") && !name(b"CC") && !name(b"BCC"));
        }
    });
}

/// Reads the ids of an order in the simplest way.
fn says_so(message: &Delivery, event_id: Uuid, customer_id: Uuid) {
    let body: Value = serde_json::from_slice(&message.body).expect("an order is JSON");
    let id = |value: &Value| value.as_str().and_then(|text| text.parse::<Uuid>().ok());
    let ids = [id(&body["event_id"]), id(&body["id"])];
    assert!(ids.contains(&Some(event_id)), "{event_id} is none of {ids:?}");
    assert_eq!(id(&body["data"]["customer_public_id"]), Some(customer_id));
}
