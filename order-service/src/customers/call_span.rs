//! The span of a call to the customer service in the request's trace (OpenTelemetry's
//! [conventions for HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-spans/)).

use reqwest::{StatusCode, Url};
use service_kit::trace::{KeyValue, Parent, Span, SpanKind, tracer};

/// The span of one call; empty when no traces are made. It ends when it is dropped.
pub(super) struct CallSpan(Option<Span>);

impl CallSpan {
    /// Starts the span of a `GET` of the path `template`. It includes the wait for a call permit.
    pub(super) fn start(template: &'static str) -> Self {
        Self(tracer().map(|tracer| {
            let attributes = vec![
                KeyValue::new("http.request.method", "GET"),
                KeyValue::new("url.template", template),
            ];
            let name = format!("GET {template}");
            tracer.start(name, SpanKind::Client, Parent::Current, attributes)
        }))
    }

    /// The span of a call that is not traced.
    pub(super) const fn disabled() -> Self {
        Self(None)
    }

    /// Records the URL to which the request is sent.
    pub(super) fn set_url(&self, url: &Url) {
        if let Some(span) = &self.0 {
            span.set("url.full", url.to_string());
            span.set("server.address", url.host_str().unwrap_or_default().to_owned());
            span.set("server.port", i64::from(url.port_or_known_default().unwrap_or(0)));
        }
    }

    /// The headers that make the other side's spans children of this one.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let context = self.0.as_ref().map(Span::context);
        context.into_iter().flat_map(|context| context.headers())
    }

    /// Records the status of the response.
    pub(super) fn set_status(&self, status: StatusCode) {
        if let Some(span) = &self.0 {
            span.set("http.response.status_code", i64::from(status.as_u16()));
        }
    }

    /// Records that the call failed.
    pub(super) fn failed(&self, reason: &str) {
        if let Some(span) = &self.0 {
            span.fail("_OTHER", reason.to_owned());
        }
    }
}
