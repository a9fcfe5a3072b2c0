//! The creation of an event, as a part of the request's trace: from the moment when it is asked for until it is committed with its
//! order. All that becomes of the event later is a part of this (OpenTelemetry's
//! [conventions for messages](https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/), operation *create*).

use serde_json::Value;
use service_kit::trace::{KeyValue, Parent, Span, SpanKind, tracer};

use crate::domain::OrderId;

/// See the [module](self). It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Creation(Option<Span>);

impl Creation {
    /// Of an event of this type.
    pub(crate) fn begin(event_type: impl FnOnce() -> String) -> Self {
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

    /// What the event has to carry to be a part of it; nothing when no traces are made.
    pub(crate) fn headers(&self) -> Option<Value> {
        let place = self.0.as_ref()?.context();
        Some(place.headers().map(|(name, value)| (name, Value::String(value))).collect())
    }

    /// The event was committed with this order.
    pub(crate) fn made(self, order: OrderId) {
        if let Some(span) = self.0 {
            span.set("order.id", order.0.to_string());
        }
    }

    /// There is no event, and why.
    pub(crate) fn failed(self, why: &'static str) {
        if let Some(span) = self.0 {
            span.fail("not_created", why);
        }
    }
}
