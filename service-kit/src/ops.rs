//! The operations port of a process: `/livez`, `/readyz`, `/metrics`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::HostPort;
use crate::health::{Health, Status};
use crate::listener::{self, HEADER, Handler, Limits, RequestId};
use crate::problem::Problem;
use crate::telemetry;

/// Few clients use the port, each for a moment.
const LIMITS: Limits = Limits::new(64);

/// How long a request may take after shutdown.
const GRACE: Duration = Duration::from_secs(1);

/// What a client may do with each path.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD");

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    dependencies: BTreeMap<&'static str, Status>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    notes: BTreeMap<&'static str, String>,
}

/// Answers the port's requests. No log span, trace or metrics, as probes are frequent.
struct Operations {
    health: Health,
    /// Cancelled when the process was told to stop.
    stopping: CancellationToken,
}

impl Handler for Operations {
    type Body = String;

    async fn respond(&self, request: Request<Incoming>) -> Response<String> {
        let id = RequestId::of(request.headers());
        let mut response = self.route(request.method(), request.uri().path());
        response.headers_mut().insert(HEADER, id.header());
        response
    }
}

impl Operations {
    fn route(&self, method: &Method, path: &str) -> Response<String> {
        if !matches!(path, "/livez" | "/readyz" | "/metrics") {
            return Problem::new(StatusCode::NOT_FOUND, "No such resource.").into();
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let detail = "This path does not know the method; see the Allow header.";
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail);
            return problem.header(ALLOW, METHODS).into();
        }
        match path {
            "/livez" => ok("text/plain; charset=utf-8", "alive\n".to_owned()),
            "/readyz" => self.readiness(),
            _ => ok("text/plain; version=0.0.4; charset=utf-8", telemetry::prometheus().render()),
        }
    }

    fn readiness(&self) -> Response<String> {
        let stopping = self.stopping.is_cancelled();
        let ready = self.health.is_ready() && !stopping;
        let mut notes = self.health.notes();
        if stopping {
            notes.insert("process", "was told to stop, and finishes what is in flight".to_owned());
        }
        let readiness = Readiness { ready, dependencies: self.health.statuses(), notes };
        let body = serde_json::to_string(&readiness).expect("strings have a JSON form");
        let mut response = ok("application/json; charset=utf-8", body);
        if !ready {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }
}

fn ok(content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Opens the port, so that an address in use is reported before anything else starts.
///
/// # Errors
/// If the address can't be bound; the error names `variable`.
pub async fn bind(address: &HostPort, variable: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address.addresses()).await.with_context(|| {
        format!("{variable}: can't listen on {address}; is another process using the port?")
    })
}

/// Serves the operations port until `done`, when the rest of the process has ended. From `shutdown`
/// on `/readyz` reports not ready, whatever the state of the dependencies, so that no new work
/// arrives.
///
/// # Errors
/// If the port fails.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    shutdown: CancellationToken,
    done: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "operations port is open");
    // Histograms keep their samples until they are folded into buckets, even if nothing scrapes.
    let upkeep = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        loop {
            ticks.tick().await;
            telemetry::prometheus().run_upkeep();
        }
    };
    let operations = Operations { health, stopping: shutdown };
    tokio::select! {
        () = listener::serve(LIMITS, listener, operations, GRACE, done.cancelled_owned()) => Ok(()),
        () = upkeep => unreachable!("the upkeep never ends"),
    }
}
