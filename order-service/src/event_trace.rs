//! The trace that an event carries ([W3C Trace Context](https://www.w3.org/TR/trace-context/)), and the span of its creation.
//!
//! The creation of an event, as a part of the request's trace: from the moment when it is asked for until it is committed with its
//! order. All that becomes of the event later is a part of this (OpenTelemetry's
//! [conventions for messages](https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/), operation *create*).

use poem::http::HeaderMap;
use serde_json::{Map, Value};
use service_kit::trace::{KeyValue, Parent, Span, SpanKind, tracer};

use crate::domain::OrderId;

/// The longest `tracestate` that is handed on; the specification asks for 512 characters at least.
const MAX_TRACESTATE: usize = 512;

/// See the [module](self). It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct EventTrace(Option<Span>);

impl EventTrace {
    /// Of an event of this type.
    pub(crate) fn start(event_type: impl FnOnce() -> String) -> Self {
        Self(tracer().map(|tracer| {
            let event_type = event_type();
            let name = format!("create {event_type}");
            let attributes = vec![
                KeyValue::new("messaging.system", "rabbitmq"),
                KeyValue::new("messaging.operation.type", "create"),
                KeyValue::new("messaging.operation.name", "create"),
                KeyValue::new("messaging.destination.name", event_type.clone()),
                KeyValue::new("messaging.rabbitmq.destination.routing_key", event_type),
                KeyValue::new("db.system.name", "postgresql"),
            ];
            tracer.start(name, SpanKind::Producer, Parent::Current, attributes)
        }))
    }

    /// `traceparent` and `tracestate` as headers of the event: those of this span, or, where no traces are made, those of the request
    /// as it has them.
    pub(crate) fn headers(&self, request: &HeaderMap) -> Value {
        self.span_headers().unwrap_or_else(|| propagated_headers(request))
    }

    fn span_headers(&self) -> Option<Value> {
        let context = self.0.as_ref()?.context();
        Some(context.headers().map(|(name, value)| (name, Value::String(value))).collect())
    }

    /// The event was committed with this order.
    pub(crate) fn committed(self, order: OrderId) {
        if let Some(span) = self.0 {
            span.set("order.id", order.0.to_string());
        }
    }

    /// There is no event, and why.
    pub(crate) fn failed(self, why: &'static str) {
        if let Some(span) = self.0 {
            span.fail("not_created", why);
        }
    }
}

/// None when the request has no valid `traceparent`.
fn propagated_headers(headers: &HeaderMap) -> Value {
    let mut kept = Map::new();
    let mut parents = headers.get_all("traceparent").iter();
    if let (Some(parent), None) = (parents.next(), parents.next())
        && let Ok(parent) = parent.to_str()
        && is_traceparent(parent)
    {
        kept.insert("traceparent".to_owned(), parent.into());
        let states: Result<Vec<&str>, _> =
            headers.get_all("tracestate").iter().map(|state| state.to_str()).collect();
        // Several headers are one list; see section 3.3 of the specification.
        let state = states.map(|states| states.join(",")).unwrap_or_default();
        if !state.trim().is_empty() && state.len() <= MAX_TRACESTATE {
            kept.insert("tracestate".to_owned(), state.into());
        }
    }
    Value::Object(kept)
}

/// `version-traceid-parentid-flags`; versions to come may append more.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags, more @ ..] = parts.as_slice() else {
        return false;
    };
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    hex(version, 2)
        && *version != "ff"
        && hex(trace, 32)
        && !zero(trace)
        && hex(parent, 16)
        && !zero(parent)
        && hex(flags, 2)
        && (more.is_empty() || *version != "00")
        && text.len() <= 255
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> Value {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).expect("a header's value"),
            );
        }
        propagated_headers(&headers)
    }

    #[test]
    fn a_valid_trace_is_propagated_headers() {
        assert_eq!(headers(&[("traceparent", PARENT)]), json!({"traceparent": PARENT}));
        assert_eq!(
            headers(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]),
            json!({"traceparent": PARENT, "tracestate": "a=1,b=2"})
        );
        let later = format!("01-{}-more", &PARENT[3..]);
        assert_eq!(headers(&[("traceparent", &later)]), json!({"traceparent": later}));
    }

    #[test]
    fn an_invalid_trace_is_dropped_with_its_state() {
        let zeros = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        for parent in [
            "",
            "00-x",
            &PARENT.to_uppercase(),
            &zeros,
            &format!("{PARENT}-more"),
            &format!("ff{}", &PARENT[2..]),
        ] {
            let kept = headers(&[("traceparent", parent), ("tracestate", "a=1")]);
            assert_eq!(kept, json!({}), "{parent}");
        }
        assert_eq!(headers(&[("traceparent", PARENT), ("traceparent", PARENT)]), json!({}));
        let long = "x".repeat(513);
        assert_eq!(
            headers(&[("traceparent", PARENT), ("tracestate", &long)]),
            json!({"traceparent": PARENT})
        );
    }
}
