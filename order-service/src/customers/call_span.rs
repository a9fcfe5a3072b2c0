//! A call to the customer service, as a part of the request's trace (OpenTelemetry's
//! [conventions for HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-spans/)).

use reqwest::{StatusCode, Url};
use service_kit::trace::{KeyValue, Parent, Span, SpanKind, tracer};

/// See the [module](self). It ends when it is dropped.
pub(super) struct CallSpan(Option<Span>);

impl CallSpan {
    /// A `GET`; `template` is the path with the names of what varies. The wait for the call's turn is a part of it.
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

    /// One that is no part of anything.
    pub(super) const fn disabled() -> Self {
        Self(None)
    }

    /// It is sent to this URL.
    pub(super) fn set_url(&self, url: &Url) {
        if let Some(span) = &self.0 {
            span.set("url.full", url.to_string());
            span.set("server.address", url.host_str().unwrap_or_default().to_owned());
            span.set("server.port", i64::from(url.port_or_known_default().unwrap_or(0)));
        }
    }

    /// What the other side has to be told to be a part of it.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let place = self.0.as_ref().map(Span::context);
        place.into_iter().flat_map(|place| place.headers())
    }

    /// The other side has answered.
    pub(super) fn set_status(&self, status: StatusCode) {
        if let Some(span) = &self.0 {
            span.set("http.response.status_code", i64::from(status.as_u16()));
        }
    }

    /// The answer did not come, or is of no use.
    pub(super) fn failed(&self, reason: &str) {
        if let Some(span) = &self.0 {
            span.fail("_OTHER", reason.to_owned());
        }
    }
}
