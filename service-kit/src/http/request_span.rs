//! The trace span of a request, by OpenTelemetry's [conventions for
//! HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-spans/).

use poem::Request;
use poem::http::StatusCode;

use crate::trace::{KeyValue, Parent, Span, SpanKind, TraceContext, TraceId, tracer};

/// Not traced: monitoring requests it every few seconds.
const UP_PATH: &str = "/up";

/// The longest path in spans and logs, in bytes.
const MAX_PATH: usize = 256;

/// The span of a request, and the caller's trace context.
pub(super) struct RequestSpan {
    span: Option<Span>,
    caller: Option<TraceContext>,
}

impl RequestSpan {
    /// Starts a span, if traces are exported.
    pub(super) fn start(request: &Request, method: &'static str) -> Self {
        let caller = TraceContext::of_request(request.headers());
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
    use super::*;

    #[test]
    fn a_path_is_cut_between_letters() {
        assert_eq!(truncate_path("/api/orders"), "/api/orders");
        assert_eq!(truncate_path(&format!("/{}", "x".repeat(9000))).len(), MAX_PATH);
        assert_eq!(truncate_path(&format!("/{}", "é".repeat(200))).len(), MAX_PATH - 1);
    }
}
