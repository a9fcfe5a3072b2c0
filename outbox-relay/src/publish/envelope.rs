//! The body of a message.

use std::fmt::Write as _;

use crate::config::Envelope;
use crate::publish::event::Event;
use crate::publish::event_time::EventTime;

impl Envelope {
    /// The MIME type of a body.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Default | Self::None => "application/json",
            Self::Cloudevents => "application/cloudevents+json; charset=utf-8",
        }
    }

    /// The body of `event`. The payload is taken over as it stands, so that numbers keep their
    /// digits.
    pub(crate) fn body(self, event: &Event, created_at: &EventTime, source: &str) -> Vec<u8> {
        let payload = &event.payload;
        let text = match self {
            Self::Default => format!(
                r#"{{"event_id":"{}","event":{},"occurred_at":"{}","data":{}}}"#,
                event.event_id,
                json(&event.event_type),
                created_at.rfc3339,
                payload,
            ),
            Self::Cloudevents => cloud_event(event, created_at, source),
            Self::None => payload.clone(),
        };
        text.into_bytes()
    }
}

/// Structured JSON of
/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>.
fn cloud_event(event: &Event, created_at: &EventTime, source: &str) -> String {
    // An attribute that is present must not be empty.
    let subject = if event.aggregate_id.is_empty() {
        String::new()
    } else {
        format!(r#""subject":{},"#, json(&event.aggregate_id))
    };
    format!(
        r#"{{"specversion":"1.0","id":"{}","source":{},"type":{},"time":"{}",{subject}"datacontenttype":"application/json","data":{}}}"#,
        event.event_id,
        json(source),
        json(&event.event_type),
        created_at.rfc3339,
        event.payload,
    )
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The `source` of `CloudEvents`, which must be a URI reference (RFC 3986): `app_id` itself when it
/// is an absolute URI, else a path made of it.
pub(crate) fn source(app_id: &str) -> String {
    let scheme = app_id.split_once(':').map_or("", |(scheme, _)| scheme);
    let absolute = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let kept: &[u8] = if absolute { b"-._~:/?#[]@!$&'()*+,;=%" } else { b"-._~" };
    let mut source = String::from(if absolute { "" } else { "/" });
    for byte in app_id.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            source.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _infallible = write!(source, "%{byte:02X}");
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::event::tests::event;

    fn body(envelope: Envelope) -> String {
        let event = event();
        let created_at = event.created_at.clone().expect("the example has a time");
        let body = envelope.body(&event, &created_at, &source("outbox-relay"));
        String::from_utf8(body).expect("text")
    }

    #[test]
    fn the_default_envelope_is_the_contracts() {
        assert_eq!(
            body(Envelope::Default),
            concat!(
                r#"{"event_id":"0190163d-8694-739b-aea5-966c26f8ad91","event":"order.created","#,
                r#""occurred_at":"2026-02-01T22:25:31.123456Z","data":{"price": 1.10, "order_public_id": "a\"b"}}"#
            )
        );
    }

    #[test]
    fn cloud_events_are_structured_json() {
        assert_eq!(
            body(Envelope::Cloudevents),
            concat!(
                r#"{"specversion":"1.0","id":"0190163d-8694-739b-aea5-966c26f8ad91","source":"/outbox-relay","#,
                r#""type":"order.created","time":"2026-02-01T22:25:31.123456Z","subject":"7","#,
                r#""datacontenttype":"application/json","data":{"price": 1.10, "order_public_id": "a\"b"}}"#
            )
        );
    }

    #[test]
    fn without_an_envelope_the_payload_is_the_body() {
        assert_eq!(body(Envelope::None), r#"{"price": 1.10, "order_public_id": "a\"b"}"#);
    }

    #[test]
    fn a_source_is_a_uri_reference() {
        assert_eq!(source("outbox-relay"), "/outbox-relay");
        assert_eq!(source("our shop/ä"), "/our%20shop%2F%C3%A4");
        assert_eq!(source("https://shop.example/orders"), "https://shop.example/orders");
        assert_eq!(source("urn:shop:orders x"), "urn:shop:orders%20x");
        assert_eq!(source("our shop:1"), "/our%20shop%3A1");
    }
}
