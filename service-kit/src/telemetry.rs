//! Logs to stderr, metrics for the operations port.

mod json_lines;

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use clap::{Args, ValueEnum};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::{Dispatch, Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use json_lines::JsonLines;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Settings of the logs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// Lines for people (text) or for machines (json); they go to stderr
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// What to log: a level, or directives such as info,outbox_relay=debug
    #[arg(long, env = "RUST_LOG", value_parser = directives, default_value = "info,poem=warn", value_name = "FILTER")]
    pub log_filter: String,
}

fn directives(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Sets up the logs, metrics and TLS provider of this process. A second call has no effect.
#[expect(clippy::disallowed_methods, reason = "NO_COLOR is no setting of ours")]
pub fn init(args: &LogArgs) {
    install_tls();
    prometheus();
    let stderr = std::io::stderr();
    let colours =
        stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if subscriber(args, std::io::stderr, colours).try_init().is_err() {
        tracing::debug!("the logs were set up before");
    }
}

/// Records the program's name and version as a metric.
pub(crate) fn record_build_info(name: &'static str) {
    metrics::describe_gauge!("build_info", "1; which program this is, and of which version");
    // All packages of the workspace have the same version.
    let version = env!("CARGO_PKG_VERSION");
    metrics::gauge!("build_info", "program" => name, "version" => version).set(1.0);
}

/// Returns the subscriber that formats and filters log lines.
fn subscriber<W>(args: &LogArgs, writer: W, colours: bool) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&args.log_filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colours);
    match args.log_format {
        LogFormat::Text => builder.with_target(false).finish().with(filter_fn(allow_target)).into(),
        LogFormat::Json => builder
            .with_ansi(false)
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .finish()
            .with(filter_fn(allow_target))
            .into(),
    }
}

/// Returns true if the target may be logged, whatever the settings say. The RabbitMQ driver logs
/// whole messages, and at finer levels the URL and the login with the password; the PostgreSQL
/// driver logs statements with their values. OpenTelemetry warns when it drops spans; its repeated
/// errors about a failed export are left out, as [`trace`](crate::trace) logs that once.
fn allow_target(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let from = |library: &str| target.starts_with(library);
    !from("lapin")
        && !from("amq_protocol")
        && (!from("tokio_postgres") || *metadata.level() <= Level::INFO)
        && (!from("opentelemetry") || *metadata.level() == Level::WARN)
}

/// Installs ring as the cryptography of TLS. A second call has no effect.
pub fn install_tls() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("the TLS provider was installed before");
    }
}

/// Returns the metrics of this process, for rendering.
pub fn prometheus() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("_events".to_owned()), &EVENTS)
            })
            .expect("no list of buckets is empty")
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder was installed before: /metrics stays empty");
        }
        handle
    })
}

/// Histogram buckets for durations, in seconds.
const SECONDS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 60.0,
];

/// Histogram buckets for numbers of events.
const EVENTS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0];

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics in here").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, log_format: LogFormat) -> String {
        logging(filter, log_format, || {
            tracing::trace!(target: "lapin::frames", "hunter2");
            tracing::error!(target: "lapin::channel", "hunter2");
            tracing::trace!(target: "amq_protocol_tcp", "hunter2");
            tracing::debug!(target: "tokio_postgres::prepare", "hunter2");
            tracing::info!(target: "tokio_postgres::connection", "a notice");
            tracing::info!("a word of our own");
        })
    }

    fn logging(filter: &str, log_format: LogFormat, work: impl FnOnce()) -> String {
        let lines = Lines::default();
        let args = LogArgs { log_format, log_filter: filter.to_owned() };
        let writer = lines.clone();
        let dispatch = subscriber(&args, move || writer.clone(), false);
        tracing::dispatcher::with_default(&dispatch, work);
        let bytes = lines.0.lock().expect("no test panics in here").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn no_filter_lets_the_drivers_log_bodies_or_passwords() {
        for filter in ["info", "trace", "trace,lapin::frames=trace,amq_protocol_tcp=trace"] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let log = logged(filter, format);
                assert!(!log.contains("hunter2"), "{filter}: {log}");
                assert!(log.contains("a notice") && log.contains("a word of our own"), "{log}");
            }
        }
        assert!(!logged("warn", LogFormat::Text).contains("our own"));
    }

    #[test]
    fn a_line_for_machines_has_the_fields_of_its_request_beside_its_own() {
        let line = logging("info", LogFormat::Json, || {
            let trace_id: Option<&str> = None;
            let request =
                tracing::info_span!("request", request_id = %"r-1", trace_id, path = "/x");
            let _within = request.enter();
            tracing::warn!(status = 503_u16, seconds = 0.5, cause = %"no \"room\"", "put off");
        });
        let line: serde_json::Value = serde_json::from_str(&line).expect("one object");
        let timestamp = line["timestamp"].as_str().expect("a time");
        assert!(timestamp.len() == 27 && timestamp.ends_with('Z'), "{timestamp}");
        let mut rest = line.clone();
        rest.as_object_mut().expect("an object").remove("timestamp");
        let expected = serde_json::json!({
            "level": "WARN", "target": "service_kit::telemetry::tests", "request_id": "r-1", "path": "/x",
            "status": 503, "seconds": 0.5, "cause": "no \"room\"", "message": "put off",
        });
        assert_eq!(rest, expected);
    }
}
