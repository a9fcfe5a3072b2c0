//! Something that takes time, and is a part of a trace.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::OnceLock;

use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::SdkTracer;

use super::collector::Collector;
use super::context::TraceContext;

/// What this process makes spans with, and who takes them.
static TRACER: OnceLock<(SdkTracer, Collector)> = OnceLock::new();

/// Makes spans.
#[derive(Debug, Clone, Copy)]
pub struct Tracer(&'static SdkTracer);

/// What spans are made with, while somebody takes them. Asking costs next to nothing.
#[must_use]
pub fn tracer() -> Option<Tracer> {
    let (tracer, collector) = TRACER.get()?;
    collector.is_available().then_some(Tracer(tracer))
}

/// Makes `tracer` this process's.
pub(super) fn install(tracer: SdkTracer, collector: Collector) {
    if TRACER.set((tracer, collector)).is_err() {
        tracing::debug!("traces were set up before");
    }
}

/// What a span is a part of.
#[derive(Debug, Clone, Copy)]
pub enum Parent<'a> {
    /// Of the span that this task is [within](Span::within); of nothing when there is none.
    Current,
    /// Of what another process does, if it says so.
    Remote(Option<&'a TraceContext>),
    /// Of this one.
    Span(&'a Span),
}

impl Tracer {
    /// Begins a span.
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
            Parent::Remote(Some(context)) => Context::new().with_remote_span_context(context.0.clone()),
            Parent::Span(span) => span.0.clone(),
        };
        let builder = self.0.span_builder(name).with_kind(kind).with_attributes(attributes);
        Span(parent.with_span(self.0.build_with_context(builder, &parent)))
    }
}

/// A span that has builder. It ends when it is dropped.
#[derive(Debug)]
pub struct Span(Context);

impl Span {
    /// Names it anew, as the name is known only now.
    pub fn rename(&self, name: impl Into<Cow<'static, str>>) {
        self.0.span().update_name(name);
    }

    /// Adds something that is known only now.
    pub fn set(&self, attribute: &'static str, value: impl Into<Value>) {
        self.0.span().set_attribute(KeyValue::new(attribute, value));
    }

    /// It failed: `error_type` is one of few words, `why` is for people.
    pub fn fail(&self, error_type: impl Into<Value>, why: impl Into<Cow<'static, str>>) {
        self.set("error.type", error_type);
        self.0.span().set_status(Status::error(why));
    }

    /// Where it is, for others to be a part of it.
    #[must_use]
    pub fn context(&self) -> TraceContext {
        TraceContext(self.0.span().span_context().clone())
    }

    /// Does `work` within `span`: it is the [current](Parent::Current) one meanwhile.
    pub async fn within<T>(span: Option<&Self>, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|task| {
            let _current = span.map(|span| span.0.clone().attach());
            work.as_mut().poll(task)
        })
        .await
    }
}
