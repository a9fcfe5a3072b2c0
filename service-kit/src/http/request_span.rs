//! The trace span of a request, by OpenTelemetry's [conventions for
//! HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-spans/).

use poem::Request;
use poem::http::{HeaderMap, StatusCode};

use crate::trace::{
    KeyValue, Parent, Span, SpanKind, TRACEPARENT, TRACESTATE, TraceContext, TraceId, tracer,
};

/// Not traced: monitoring requests it every few seconds.
const UP_PATH: &str = "/up";

/// The longest path in spans and logs, in bytes.
const MAX_PATH: usize = 256;

/// The longest `tracestate` that is propagated; the specification demands at least 512 characters.
const MAX_TRACESTATE: usize = 512;

/// The span of a request, and the caller's trace context.
pub(super) struct RequestSpan {
    span: Option<Span>,
    caller: Option<TraceContext>,
}

impl RequestSpan {
    /// Starts a span, if traces are exported.
    pub(super) fn start(request: &Request, method: &'static str) -> Self {
        let caller = trace_context(request.headers());
        let path = request.uri().path();
        let span = tracer().filter(|_| path != UP_PATH).map(|tracer| {
            let attributes = vec![
                KeyValue::new("http.request.method", semconv_method(method)),
                KeyValue::new("url.scheme", "http"),
                KeyValue::new("url.path", truncate_path(path).to_owned()),
            ];
            tracer.start(method, SpanKind::Server, Parent::Remote(caller.as_ref()), attributes)
        });
        Self { span, caller }
    }

    /// Returns the trace id for the log: the caller's if no span is recorded here.
    pub(super) fn trace_id(&self) -> Option<TraceId> {
        let own = self.span.as_ref().map(Span::context);
        own.as_ref().or(self.caller.as_ref()).map(TraceContext::trace_id)
    }

    /// Runs `work` within the span.
    pub(super) async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        Span::within(self.span.as_ref(), work).await
    }

    /// Ends the span with the outcome of the request.
    pub(super) fn end(self, method: &'static str, route: &str, status: StatusCode) {
        let Some(span) = self.span else {
            return;
        };
        if route != "none" {
            span.rename(format!("{method} {route}"));
            span.set("http.route", route.to_owned());
        }
        span.set("http.response.status_code", i64::from(status.as_u16()));
        // By the conventions, a client's error is not an error of the server span.
        if status.is_server_error() {
            span.fail(status.as_str().to_owned(), "");
        }
    }
}

/// Returns the caller's trace context.
fn trace_context(headers: &HeaderMap) -> Option<TraceContext> {
    let mut given = headers.get_all(TRACEPARENT).iter();
    let (Some(only), None) = (given.next(), given.next()) else {
        return None;
    };
    let states: Result<Vec<&str>, _> =
        headers.get_all(TRACESTATE).iter().map(|state| state.to_str()).collect();
    // Several headers form one list; see section 3.3 of the specification.
    let state = states.ok().map(|states| states.join(","));
    let state = state.filter(|state| (1..=MAX_TRACESTATE).contains(&state.len()));
    TraceContext::read(only.to_str().ok()?, state.as_deref())
}

/// Truncates a path for spans and logs: clients may send 16 KiB.
pub(super) fn truncate_path(path: &str) -> &str {
    &path[..path.floor_char_boundary(MAX_PATH)]
}

/// Returns the conventions' name for a method that is not HTTP's.
fn semconv_method(method: &'static str) -> &'static str {
    if method == "other" { "_OTHER" } else { method }
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderName, HeaderValue};

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_path_is_cut_between_letters() {
        assert_eq!(truncate_path("/api/orders"), "/api/orders");
        assert_eq!(truncate_path(&format!("/{}", "x".repeat(9000))).len(), MAX_PATH);
        assert_eq!(truncate_path(&format!("/{}", "é".repeat(200))).len(), MAX_PATH - 1);
    }

    #[test]
    fn a_request_has_one_parent_and_its_states_are_one_list() {
        let of = |given: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                let value = HeaderValue::from_str(value).expect("a header's value");
                headers.append(HeaderName::from_static(name), value);
            }
            let read = trace_context(&headers)?;
            Some(read.headers().map(|(_, value)| value).collect::<Vec<_>>())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("traceparent", PARENT)]), Some(vec![PARENT.to_owned()]));
        assert_eq!(of(&[("traceparent", PARENT), ("traceparent", PARENT)]), None);
        assert_eq!(
            of(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]),
            Some(vec![PARENT.to_owned(), "a=1,b=2".to_owned()])
        );
        let long = format!("a={}", "x".repeat(MAX_TRACESTATE));
        let given = [("traceparent", PARENT), ("tracestate", long.as_str())];
        assert_eq!(of(&given), Some(vec![PARENT.to_owned()]));
    }
}
