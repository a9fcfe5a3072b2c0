//! The operations port of a process: `/livez`, `/readyz`, `/metrics`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use poem::http::StatusCode;
use poem::web::{Data, Json};
use poem::{EndpointExt as _, IntoResponse, Route, get, handler};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::HostPort;
use crate::health::{Health, Status};
use crate::http::{Limits, operations_middleware, serve_with_limits};
use crate::telemetry;

/// Few clients use the port, each for a moment.
const LIMITS: Limits = Limits::new(64);

/// How long a request may take after shutdown.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    dependencies: BTreeMap<&'static str, Status>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    notes: BTreeMap<&'static str, String>,
}

#[handler]
fn livez() -> &'static str {
    "alive\n"
}

/// Cancelled when the process was told to stop.
#[derive(Debug, Clone)]
struct Stopping(CancellationToken);

#[handler]
fn readyz(
    Data(health): Data<&Health>,
    Data(Stopping(stopping)): Data<&Stopping>,
) -> impl IntoResponse {
    let ready = health.is_ready() && !stopping.is_cancelled();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut notes = health.notes();
    if stopping.is_cancelled() {
        notes.insert("process", "was told to stop, and finishes what is in flight".to_owned());
    }
    (code, Json(Readiness { ready, dependencies: health.statuses(), notes }))
}

#[handler]
fn metrics() -> impl IntoResponse {
    telemetry::prometheus().render().with_content_type("text/plain; version=0.0.4; charset=utf-8")
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
    let app = Route::new()
        .at("/livez", get(livez))
        .at("/readyz", get(readyz))
        .at("/metrics", get(metrics))
        .data(health)
        .data(Stopping(shutdown))
        .around(operations_middleware);
    // Histograms keep their samples until they are folded into buckets, even if nothing scrapes.
    let upkeep = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        loop {
            ticks.tick().await;
            telemetry::prometheus().run_upkeep();
        }
    };
    tokio::select! {
        result = serve_with_limits(LIMITS, listener, app, GRACE, done.cancelled_owned()) => result.context("the operations port failed"),
        () = upkeep => unreachable!("the upkeep never ends"),
    }
}
