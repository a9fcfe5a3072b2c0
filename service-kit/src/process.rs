//! What a `main` needs: telemetry, signals, the time limit for shutdown, the exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::limit_or_none;
use crate::telemetry::{self, LogArgs};
use crate::trace::{TraceArgs, TraceExport};

/// The allocator of the programs. Requests and publish windows are many small allocations that are
/// freed together. With glibc's allocator, the relay spent more time on them than on everything
/// else, and reading an order a third of its time. Builds for trying the programs do without it.
#[cfg(all(feature = "jemalloc", not(target_env = "msvc")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Settings of every process.
#[derive(Debug, Clone, Args)]
pub struct ProcessArgs {
    /// How long to finish what is in flight after SIGTERM or SIGINT before giving up
    #[arg(long, env = "SHUTDOWN_GRACE", value_parser = limit_or_none, default_value = "25s", value_name = "DURATION")]
    pub shutdown_grace: Duration,

    /// Settings of the logs.
    #[command(flatten)]
    pub log: LogArgs,

    /// Settings of the traces.
    #[command(flatten)]
    pub trace: TraceArgs,
}

/// Runs `service` until it returns. SIGTERM or SIGINT cancels its token; it then has `delay`, in
/// which it may accept more work, and the grace time to finish. The metrics carry `name`, and so do
/// the traces unless the settings name another one. Exit codes: 0 on success, 1 if it failed or
/// exceeded the grace time.
pub fn run<S, F>(name: &'static str, args: &ProcessArgs, delay: Duration, service: S) -> ExitCode
where
    S: FnOnce(CancellationToken) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    run_on(&mut Builder::new_multi_thread(), name, args, delay, service)
}

/// Like [`run`], but on one thread and without a delay: for a process whose work one core can do
/// and that serves no requests.
pub fn run_single_threaded<S, F>(name: &'static str, args: &ProcessArgs, service: S) -> ExitCode
where
    S: FnOnce(CancellationToken) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    run_on(&mut Builder::new_current_thread(), name, args, Duration::ZERO, service)
}

fn run_on<S, F>(
    runtime: &mut Builder,
    name: &'static str,
    args: &ProcessArgs,
    delay: Duration,
    service: S,
) -> ExitCode
where
    S: FnOnce(CancellationToken) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    telemetry::init(&args.log);
    telemetry::record_build_info(name);
    let traces = match TraceExport::start(&args.trace, name) {
        Ok(traces) => traces,
        Err(error) => {
            tracing::error!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "can't start the runtime");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(supervise(delay, args.shutdown_grace, service));
    // Don't wait for blocking threads, such as a name lookup.
    runtime.shutdown_background();
    if let Some(traces) = traces {
        traces.shutdown();
    }
    code
}

async fn supervise<S, F>(delay: Duration, grace: Duration, service: S) -> ExitCode
where
    S: FnOnce(CancellationToken) -> F,
    F: Future<Output = anyhow::Result<()>>,
{
    let shutdown = CancellationToken::new();
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "can't listen for signals");
                return ExitCode::FAILURE;
            }
        };
    let mut running = std::pin::pin!(service(shutdown.clone()));

    let signal = tokio::select! {
        result = &mut running => return report(result),
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    let shown = humantime::format_duration;
    tracing::info!(signal, delay = %shown(delay), grace = %shown(grace), "stopping");
    shutdown.cancel();
    tokio::select! {
        result = &mut running => report(result),
        () = tokio::time::sleep(delay + grace) => {
            tracing::error!("still busy after the grace time: stopping anyway; what was in flight will be done again");
            ExitCode::FAILURE
        }
        _ = async { tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () } } => {
            tracing::warn!("told to stop a second time: stopping at once");
            ExitCode::FAILURE
        }
    }
}

fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
