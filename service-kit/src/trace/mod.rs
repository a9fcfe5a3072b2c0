//! Traces by [OpenTelemetry](https://opentelemetry.io/docs/specs/otel/trace/): where an order's time goes, from the request to the counter.
//!
//! | file | what it does |
//! |---|---|
//! | `args`, `headers` | the settings, named by OpenTelemetry |
//! | `context` | where in a trace something happens, as processes tell each other: [W3C Trace Context](https://www.w3.org/TR/trace-context/) |
//! | `span` | something that takes time, and is a part of a trace |
//! | `export` | where finished spans go |
//! | `collector` | whether there is a collector to take them |
//!
//! Spans are made only while [`tracer`] gives a tracer: never without `OTEL_EXPORTER_OTLP_ENDPOINT`.

mod args;
mod collector;
mod context;
mod export;
mod headers;
mod span;

pub use args::{Endpoint, SamplerName, TraceArgs};
pub use context::TraceContext;
pub(crate) use export::TraceExport;
pub use headers::ExportHeaders;
pub use opentelemetry::trace::{SpanKind, TraceId};
pub use opentelemetry::{KeyValue, Value};
pub use span::{Parent, Span, Tracer, tracer};
