//! Spans of the processing of messages, in the traces of their events: operation *process* of
//! OpenTelemetry's [conventions for
//! RabbitMQ](https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq/). Each message of a
//! batch has spans of its own, as it belongs to a trace of its own.

use amq_protocol::types::AMQPValue;
use amqp::Delivery;
use service_kit::trace::{KeyValue, Parent, Span, SpanKind, TraceContext, TraceId, tracer};

use super::message::{Message, Parsed};
use super::topology::WORK_QUEUE;

/// A span per message of a batch, in the same order. Empty when tracing is off.
pub(super) struct BatchSpans(Vec<Span>);

impl BatchSpans {
    /// Starts a span for each message.
    pub(super) fn start(messages: &[Message]) -> Self {
        let Some(tracer) = tracer() else {
            return Self(Vec::new());
        };
        let start = |message: &Message| {
            let delivery = &message.delivery;
            let key = delivery.info.routing_key.as_str();
            let mut attributes = vec![
                KeyValue::new("messaging.system", "rabbitmq"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.operation.name", "process"),
                KeyValue::new("messaging.destination.name", destination(delivery)),
                KeyValue::new("messaging.rabbitmq.destination.routing_key", key.to_owned()),
            ];
            if let Some(id) = event_id(delivery) {
                attributes.push(KeyValue::new("messaging.message.id", id.to_owned()));
            }
            let context = trace_context(delivery);
            let parent = Parent::Remote(context.as_ref());
            tracer.start(format!("process {WORK_QUEUE}"), SpanKind::Consumer, parent, attributes)
        };
        Self(messages.iter().map(start).collect())
    }

    /// Starts the spans of the transaction, one per event. They end when they are dropped.
    pub(super) fn start_transaction(&self, messages: &[Message]) -> Vec<Span> {
        let Some(tracer) = tracer().filter(|_| !self.0.is_empty()) else {
            return Vec::new();
        };
        let is_order = |message: &Message| matches!(message.parsed, Parsed::Order(_));
        let size = messages.iter().filter(|one| is_order(one)).count();
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let spans = messages.iter().zip(&self.0).filter(|(message, _)| is_order(message));
        spans
            .map(|(_, span)| {
                let attributes = vec![
                    KeyValue::new("db.system.name", "postgresql"),
                    KeyValue::new("db.query.summary", STATEMENTS),
                    KeyValue::new("db.operation.batch.size", size),
                ];
                tracer.start(STATEMENTS, SpanKind::Client, Parent::Span(span), attributes)
            })
            .collect()
    }

    /// Marks the span of a message as failed: it is redirected.
    pub(super) fn record_redirect(&self, index: usize, reason: &str) {
        if let Some(span) = self.0.get(index) {
            span.fail("moved", reason.to_owned());
        }
    }

    /// Marks all spans as failed: the batch was not finished.
    pub(super) fn record_interruption(&self) {
        for span in &self.0 {
            span.fail(
                "interrupted",
                "the batch was not finished: the message returns to the queue",
            );
        }
    }
}

/// The summary of the transaction's statements.
const STATEMENTS: &str = "INSERT processed_events UPDATE customers";

/// The destination name of the conventions: exchange, routing key and queue.
fn destination(delivery: &Delivery) -> String {
    let (exchange, key) = (delivery.info.exchange.as_str(), delivery.info.routing_key.as_str());
    let parts = [exchange, key, WORK_QUEUE].into_iter().enumerate();
    // After the default exchange, the routing key is the queue's name.
    let kept =
        parts.filter(|(place, part)| !part.is_empty() && (*place == 2 || *part != WORK_QUEUE));
    kept.map(|(_, part)| part).collect::<Vec<_>>().join(":")
}

/// The event's id, from the message's properties.
pub(super) fn event_id(delivery: &Delivery) -> Option<&str> {
    delivery.message_id()
}

/// The trace to which the message belongs, from its headers.
pub(super) fn trace_id(delivery: &Delivery) -> Option<TraceId> {
    trace_context(delivery).map(|context| context.trace_id())
}

fn trace_context(delivery: &Delivery) -> Option<TraceContext> {
    let header = |name| match delivery.properties().headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        _ => None,
    };
    TraceContext::read(header("traceparent")?, header("tracestate"))
}
