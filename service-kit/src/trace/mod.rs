//! Traces by [OpenTelemetry](https://opentelemetry.io/docs/specs/otel/trace/): where an order's
//! time goes, from the request to the counter.
//!
//! | file | what it does |
//! |---|---|
//! | `args`, `headers` | the settings, named as OpenTelemetry does |
//! | `context` | trace context between processes: [W3C](https://www.w3.org/TR/trace-context/) |
//! | `span` | starts and ends spans |
//! | `export` | sends finished spans to the collector |
//! | `collector` | tracks whether the collector is available |
//!
//! Spans are recorded only while [`tracer`] returns a tracer: never without
//! `OTEL_EXPORTER_OTLP_ENDPOINT`.

mod args;
mod collector;
mod context;
mod export;
mod headers;
mod span;

pub use args::{Endpoint, SamplerName, TraceArgs};
pub use context::TraceContext;
#[cfg(feature = "api")]
pub(crate) use context::{TRACEPARENT, TRACESTATE};
pub(crate) use export::TraceExport;
pub use headers::ExportHeaders;
pub use opentelemetry::trace::{SpanKind, TraceId};
pub use opentelemetry::{KeyValue, Value};
pub use span::{Parent, Span, Tracer, tracer};
