//! Trace context, as processes propagate it.

use std::fmt;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// The header with the ids of trace and span.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// The header with vendor-specific trace state.
pub(crate) const TRACESTATE: &str = "tracestate";

/// The ids of a trace and a span in it: [W3C Trace Context](https://www.w3.org/TR/trace-context/).
#[derive(Debug, Clone, PartialEq)]
pub struct TraceContext(pub(super) SpanContext);

impl TraceContext {
    /// Parses the headers of a request or a message. Returns `None` if they are not a valid trace
    /// context.
    #[must_use]
    pub fn read(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let headers = TraceHeaders { traceparent, tracestate };
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
        let span_context = context.span().span_context().clone();
        span_context.is_valid().then_some(Self(span_context))
    }

    /// Returns the trace id, which links traces and logs.
    #[must_use]
    pub fn trace_id(&self) -> TraceId {
        self.0.trace_id()
    }

    /// Returns the headers of a request or a message, by name.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let state = self.0.trace_state().header();
        let state = (!state.is_empty()).then_some((TRACESTATE, state));
        [(TRACEPARENT, self.to_string())].into_iter().chain(state)
    }
}

impl fmt::Display for TraceContext {
    /// The form of `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(span_context) = self;
        let flags = u8::from(span_context.is_sampled());
        write!(f, "00-{}-{}-{flags:02x}", span_context.trace_id(), span_context.span_id())
    }
}

struct TraceHeaders<'a> {
    traceparent: &'a str,
    tracestate: Option<&'a str>,
}

impl Extractor for TraceHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => Some(self.traceparent),
            TRACESTATE => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parsed_context_is_propagated_unchanged() {
        let read = TraceContext::read(PARENT, Some("a=1,b=2")).expect("a context");
        assert_eq!(read.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let headers: Vec<_> = read.headers().collect();
        assert_eq!(
            headers,
            [("traceparent", PARENT.to_owned()), ("tracestate", "a=1,b=2".to_owned())]
        );
        let unsampled = PARENT.replace("-01", "-00");
        let headers: Vec<_> =
            TraceContext::read(&unsampled, None).expect("a context").headers().collect();
        assert_eq!(headers, [("traceparent", unsampled)]);
    }

    #[test]
    fn what_is_no_place_in_a_trace_is_none() {
        for wrong in ["", "00-1", &PARENT.replace('4', "0").replace('b', "x"), &PARENT[..35]] {
            assert_eq!(TraceContext::read(wrong, None), None, "{wrong}");
        }
    }
}
