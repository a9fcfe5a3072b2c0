//! A trace collector that receives OTLP over HTTP, as OpenTelemetry's does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use poem::http::StatusCode;
use poem::listener::TcpAcceptor;
use poem::{Endpoint, Request, Response, Server};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::consumer_fixture::until;

/// How the collector responds to spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectorBehaviour {
    /// Accepts them.
    Kind,
    /// Accepts the connection and never answers.
    Silent,
    /// Answers with this status.
    Refuses(u16),
    /// Accepts them with this `api-key` only.
    Wants(&'static str),
}

/// A span that the collector received.
#[derive(Debug, Clone)]
pub struct Collected {
    /// The sender's `service.name`.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: SpanKind,
    /// Its trace's id, as in `traceparent`.
    pub trace_id: String,
    /// Its id, as in `traceparent`.
    pub id: String,
    /// The parent span's id; empty for a root span.
    pub parent: String,
    /// Whether its status is an error.
    pub failed: bool,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
}

/// A running collector. Dropping it stops it.
#[derive(Debug)]
pub struct TraceCollector {
    /// `http://127.0.0.1:port`, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub url: String,
    collected: Arc<Mutex<Vec<Collected>>>,
    asked: Arc<AtomicUsize>,
    running: JoinHandle<std::io::Result<()>>,
}

impl TraceCollector {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(temper: CollectorBehaviour) -> anyhow::Result<Self> {
        Self::start_at("127.0.0.1:0", temper).await
    }

    /// Starts one at `address`.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start_at(address: &str, temper: CollectorBehaviour) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let collected = Arc::default();
        let asked = Arc::default();
        let intake =
            Intake { temper, collected: Arc::clone(&collected), asked: Arc::clone(&asked) };
        let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?).run(intake);
        Ok(Self { url, collected, asked, running: tokio::spawn(server) })
    }

    /// All spans received so far.
    #[must_use]
    pub fn so_far(&self) -> Vec<Collected> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests it received.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits for a span that matches `is_it`.
    ///
    /// # Errors
    /// When none comes in time; with the spans that did.
    pub async fn span(&self, is_it: impl Fn(&Collected) -> bool) -> anyhow::Result<Collected> {
        until(async || Ok(self.so_far().into_iter().find(&is_it)))
            .await
            .with_context(|| format!("none of these is it: {:#?}", self.so_far()))
    }
}

impl Drop for TraceCollector {
    fn drop(&mut self) {
        self.running.abort();
    }
}

struct Intake {
    temper: CollectorBehaviour,
    asked: Arc<AtomicUsize>,
    collected: Arc<Mutex<Vec<Collected>>>,
}

impl Endpoint for Intake {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.temper {
            CollectorBehaviour::Kind => {}
            CollectorBehaviour::Silent => std::future::pending().await,
            CollectorBehaviour::Refuses(status) => {
                let status = StatusCode::from_u16(status).expect("a status");
                return Ok(Response::builder().status(status).finish());
            }
            CollectorBehaviour::Wants(key) => {
                if request.header("api-key") != Some(key) {
                    return Ok(Response::builder().status(StatusCode::UNAUTHORIZED).finish());
                }
            }
        }
        let path = request.uri().path().to_owned();
        let body = request.take_body().into_bytes().await?;
        let sent = ExportTraceServiceRequest::decode(body);
        let (true, Ok(sent)) = (path == "/v1/traces", sent) else {
            return Ok(Response::builder().status(StatusCode::BAD_REQUEST).finish());
        };
        let mut collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in sent.resource_spans {
            let own = texts(resource.resource.unwrap_or_default().attributes);
            let service = own.get("service.name").cloned().unwrap_or_default();
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            collected.extend(spans.map(|span| read(&service, span)));
        }
        // An empty response says that all spans were accepted.
        Ok(Response::builder().content_type("application/x-protobuf").finish())
    }
}

fn read(service: &str, span: v1::Span) -> Collected {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Collected {
        service: service.to_owned(),
        kind: span.kind(),
        trace_id: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        failed: span.status.is_some_and(|status| status.code() == SpanStatus::Error),
        attributes: texts(span.attributes),
        name: span.name,
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|one| (one.key, text(one.value))).collect()
}
