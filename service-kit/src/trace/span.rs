//! Spans: timed operations of a trace.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::OnceLock;

use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;

use super::collector::Collector;
use super::context::TraceContext;

/// The tracer of this process, and the collector that its spans go to.
static TRACER: OnceLock<(SdkTracer, Collector)> = OnceLock::new();

/// Starts spans.
#[derive(Debug, Clone, Copy)]
pub struct Tracer(&'static SdkTracer);

/// Returns the tracer, if the collector is available. Cheap to call.
#[must_use]
pub fn tracer() -> Option<Tracer> {
    let (tracer, collector) = TRACER.get()?;
    collector.is_available().then_some(Tracer(tracer))
}

/// Sets the tracer of this process.
pub(super) fn install(tracer: SdkTracer, collector: Collector) {
    if TRACER.set((tracer, collector)).is_err() {
        tracing::debug!("traces were set up before");
    }
}

/// The parent of a span.
#[derive(Debug, Clone, Copy)]
pub enum Parent<'a> {
    /// The task's [current](Span::within) span, if there is one.
    Current,
    /// A span of another process, if it sent its context.
    Remote(Option<&'a TraceContext>),
    /// This span.
    Span(&'a Span),
}

impl Tracer {
    /// Starts a span.
    #[must_use]
    pub fn start(
        self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        parent: Parent<'_>,
        attributes: Vec<KeyValue>,
    ) -> Span {
        let parent = match parent {
            Parent::Current => Context::current(),
            Parent::Remote(None) => Context::new(),
            Parent::Remote(Some(context)) => {
                Context::new().with_remote_span_context(context.0.clone())
            }
            Parent::Span(span) => span.0.clone(),
        };
        let builder = self.0.span_builder(name).with_kind(kind).with_attributes(attributes);
        Span(parent.with_span(self.0.build_with_context(builder, &parent)))
    }
}

/// A span that has started. It ends when it is dropped.
#[derive(Debug)]
pub struct Span(Context);

impl Span {
    /// Changes the name, for names that are known late.
    pub fn rename(&self, name: impl Into<Cow<'static, str>>) {
        self.0.span().update_name(name);
    }

    /// Sets an attribute.
    pub fn set(&self, attribute: &'static str, value: impl Into<Value>) {
        self.0.span().set_attribute(KeyValue::new(attribute, value));
    }

    /// Marks the span as failed: `error_type` is one of a small set, `why` is for people.
    pub fn fail(&self, error_type: impl Into<Value>, why: impl Into<Cow<'static, str>>) {
        self.set("error.type", error_type);
        self.0.span().set_status(Status::error(why));
    }

    /// Returns the context, for propagation.
    #[must_use]
    pub fn context(&self) -> TraceContext {
        TraceContext(self.0.span().span_context().clone())
    }

    /// Runs `work` with `span` as the [current](Parent::Current) one.
    pub async fn within<T>(span: Option<&Self>, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|task| {
            let _current = span.map(|span| span.0.clone().attach());
            work.as_mut().poll(task)
        })
        .await
    }
}
