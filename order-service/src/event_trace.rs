//! The trace that an event carries ([W3C Trace Context](https://www.w3.org/TR/trace-context/)), and
//! the span of the event's creation.
//!
//! The span lasts until the event is committed with its order; the spans of publishing and
//! consuming the event are its children (OpenTelemetry's [conventions for
//! messages](https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/), operation
//! *create*).

use poem::http::HeaderMap;
use serde_json::{Map, Value};
use service_kit::trace::{KeyValue, Parent, Span, SpanKind, tracer};

use crate::domain::OrderId;

/// The longest `tracestate` that is propagated; the specification requires at least 512 characters.
const MAX_TRACESTATE: usize = 512;

/// The span of an event's creation; empty when no traces are made. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct EventTrace(Option<Span>);

impl EventTrace {
    /// Starts the span for an event of this type.
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

    /// Returns `traceparent` and `tracestate` for the event's headers: those of this span, or those
    /// of the request when no traces are made.
    pub(crate) fn headers(&self, request: &HeaderMap) -> Value {
        self.span_headers().unwrap_or_else(|| propagated_headers(request))
    }

    fn span_headers(&self) -> Option<Value> {
        let context = self.0.as_ref()?.context();
        Some(context.headers().map(|(name, value)| (name, Value::String(value))).collect())
    }

    /// Ends the span: the event was committed with this order.
    pub(crate) fn committed(self, order: OrderId) {
        if let Some(span) = self.0 {
            span.set("order.id", order.0.to_string());
        }
    }

    /// Ends the span with an error: no event was created.
    pub(crate) fn failed(self, why: &'static str) {
        if let Some(span) = self.0 {
            span.fail("not_created", why);
        }
    }
}

/// The trace headers of a request, if its `traceparent` is valid.
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
        // Several headers form one list (section 3.3 of the specification).
        let state = states.map(|states| states.join(",")).unwrap_or_default();
        if !state.trim().is_empty() && state.len() <= MAX_TRACESTATE {
            kept.insert("tracestate".to_owned(), state.into());
        }
    }
    Value::Object(kept)
}

/// Whether the text is `version-traceid-parentid-flags`; later versions may append more.
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
    fn a_valid_trace_is_propagated() {
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
