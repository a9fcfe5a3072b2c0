//! The span of a message's sending, as a part of its event's trace (OpenTelemetry's [conventions
//! for RabbitMQ](https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq/), operation
//! *send*).

use amq_protocol::frame::parsing::parse_content_header;
use amq_protocol::types::{AMQPValue, FieldTable};
use serde_json::Value;
use service_kit::trace::{KeyValue, Parent, Span, SpanKind, TraceContext, TraceId, tracer};

use crate::publish::event::Event;
use crate::publish::verdict::Verdict;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Starts the span, if traces are exported. The row's headers name its parent, and reach consumers
/// as they are; where they name none, the span's own context is added to `headers`.
pub(crate) fn start(event: &Event, exchange: &str, headers: &mut FieldTable) -> Option<Span> {
    let tracer = tracer()?;
    let creation = trace_context(headers);
    let attributes = vec![
        KeyValue::new("messaging.system", "rabbitmq"),
        KeyValue::new("messaging.operation.type", "send"),
        KeyValue::new("messaging.operation.name", "publish"),
        KeyValue::new("messaging.destination.name", format!("{exchange}:{}", event.event_type)),
        KeyValue::new("messaging.rabbitmq.destination.routing_key", event.event_type.clone()),
        KeyValue::new("messaging.message.id", event.event_id.to_string()),
    ];
    // By the conventions the span whose context travels with the message is the producer.
    let kind = if creation.is_some() { SpanKind::Client } else { SpanKind::Producer };
    let name = format!("publish {exchange}");
    let span = tracer.start(name, kind, Parent::Remote(creation.as_ref()), attributes);
    if creation.is_none() {
        for (name, value) in span.context().headers() {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
    }
    Some(span)
}

/// Writes the message's outcome into its span.
pub(crate) fn record(span: &Span, verdict: &Verdict) {
    match verdict {
        Verdict::Published => {}
        Verdict::Failed(_, reason) | Verdict::Unpublishable(reason) => {
            span.fail("failed", reason.clone());
        }
        Verdict::Unknown => span.fail("unknown", "no confirm came: the event is sent again"),
    }
}

/// The trace of a message, by its content header.
pub(crate) fn trace_id(content_header: &[u8]) -> Option<TraceId> {
    let (_, header) = parse_content_header(content_header).ok()?;
    trace_context(header.properties.headers().as_ref()?).map(|context| context.trace_id())
}

/// The trace of a row that can't be a message, if it says so.
pub(crate) fn trace_id_of_row(headers: &str) -> Option<TraceId> {
    let headers: Value = serde_json::from_str(headers).ok()?;
    let context = TraceContext::read(headers.get(TRACEPARENT)?.as_str()?, None)?;
    Some(context.trace_id())
}

fn trace_context(headers: &FieldTable) -> Option<TraceContext> {
    TraceContext::read(text(headers, TRACEPARENT)?, text(headers, TRACESTATE))
}

fn text<'a>(headers: &'a FieldTable, name: &str) -> Option<&'a str> {
    match headers.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    }
}
