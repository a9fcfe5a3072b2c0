//! Exports finished spans: through a bounded queue to a thread of OpenTelemetry's, which sends them
//! to the collector every few seconds. Ending a span never blocks; if the queue is full, the span
//! is dropped.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{
    SpanExporter as OtlpExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use uuid::Uuid;

use super::args::TraceArgs;
use super::collector::Collector;
use super::span::install;

/// How long the collector may take to respond.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last spans may take when the process stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The export of this process's spans.
pub(crate) struct TraceExport {
    provider: SdkTracerProvider,
    collector: Collector,
    /// Closes when dropped, which ends the collector's probes.
    _watch: Sender<()>,
}

impl TraceExport {
    /// Starts the export under the service name `program`, unless the settings have another one.
    /// Returns `None` if they have no collector. Must not be called within an async runtime.
    ///
    /// # Errors
    /// If the HTTP client can't be created.
    pub(crate) fn start(args: &TraceArgs, program: &'static str) -> anyhow::Result<Option<Self>> {
        let Some(url) = args.collector() else {
            return Ok(None);
        };
        let collector = Collector::new(url);
        let client = reqwest::blocking::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .default_headers(args.headers().into_map())
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("can't export traces")?;
        let exporter = OtlpExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(format!("{}/v1/traces", url.as_str().trim_end_matches('/')))
            .build()
            .context("can't export traces")?;
        let name = args.otel_service_name.as_deref().filter(|name| !name.is_empty());
        let resource = Resource::builder()
            .with_service_name(name.unwrap_or(program).to_owned())
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(args.sampler())
            .with_batch_exporter(MonitoredExporter { exporter, collector: collector.clone() })
            .build();
        install(provider.tracer("outbox-pipeline"), collector.clone());
        let (watch, stop) = channel();
        let watched = collector.clone();
        std::thread::Builder::new()
            .name("trace-collector".to_owned())
            .spawn(move || watched.watch(&stop))
            .context("can't export traces")?;
        Ok(Some(Self { provider, collector, _watch: watch }))
    }

    /// Exports the remaining spans. Must not be called within an async runtime.
    pub(crate) fn shutdown(self) {
        if !self.collector.is_available() {
            return;
        }
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// An exporter that records whether the collector accepts spans.
#[derive(Debug)]
struct MonitoredExporter {
    exporter: OtlpExporter,
    collector: Collector,
}

impl SpanExporter for MonitoredExporter {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        let exported = self.exporter.export(spans).await;
        match &exported {
            Ok(()) => self.collector.accepted(),
            Err(error) => self.collector.failed(&error.to_string()),
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
