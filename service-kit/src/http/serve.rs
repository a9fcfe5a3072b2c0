//! The listener of an API: bounded connections, graceful stop.
//!
//! The framework's own server sets no limit on reading headers, none on connections, and spins when the process runs
//! out of file descriptors; so the connections are driven here.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, Response};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::limit_or_none;

use super::connection::{Connection, Place};
use super::metrics::{self, Closed};
use super::progress::{Progress, TimeLimits};
use super::slots::Slots;

/// How many connections over the limit are told so at once; any more are closed without a word.
const TURNED_AWAY: usize = 32;

/// How long a connection that is turned away may take.
const TURNED_AWAY_LIMITS: TimeLimits = TimeLimits {
    idle: Duration::from_secs(2),
    undisturbed: Duration::from_secs(2),
    headers: Duration::from_secs(2),
    stalled: Duration::from_secs(2),
    answer: Duration::from_secs(2),
};

/// Settings of the listener.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct ServeArgs {
    /// Connections at the most; one on top takes the place of the one that has been idle for longest, else is answered 503. Each needs a file descriptor
    #[arg(long, env = "HTTP_MAX_CONNECTIONS", default_value_t = 800, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub http_max_connections: u32,

    /// How long to go on accepting after SIGTERM or SIGINT, not ready any more: until load balancers have noticed. SHUTDOWN_GRACE begins after it
    #[arg(long, env = "SHUTDOWN_DELAY", value_parser = limit_or_none, default_value = "0s", value_name = "DURATION")]
    pub shutdown_delay: Duration,
}

/// How much a listener puts up with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at the most.
    pub(crate) connections: usize,
    /// How long a connection may keep it waiting.
    pub(crate) times: TimeLimits,
}

impl Limits {
    /// The times of every listener, for so many connections.
    pub(crate) const fn new(connections: usize) -> Self {
        let times = TimeLimits {
            // Longer than what proxies usually keep an idle connection for, so that it is they who close it.
            idle: Duration::from_secs(75),
            undisturbed: Duration::from_millis(500),
            headers: Duration::from_secs(10),
            stalled: Duration::from_secs(20),
            answer: Duration::from_secs(30),
        };
        Self { connections, times }
    }
}

/// Runs `app` on `listener` until `shutdown`, and for the delay that the settings name; then finishes the requests in flight, for
/// at most `grace`.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    listener: TcpListener,
    app: impl Endpoint<Output = Response> + 'static,
    args: &ServeArgs,
    grace: Duration,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "HTTP port is open");
    metrics::describe_requests();
    let limits = Limits::new(usize::try_from(args.http_max_connections)?);
    let stop = async {
        shutdown.cancelled().await;
        tokio::time::sleep(args.shutdown_delay).await;
    };
    serve_within(limits, listener, app, grace, stop).await
}

/// [`serve`] for any port, with limits of its own, until `stop` is over.
pub(crate) async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    app: impl Endpoint<Output = Response> + 'static,
    grace: Duration,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    metrics::describe_connections();
    let local = listener.local_addr()?;
    let app = Arc::new(app);
    let mut slots = Slots::new(limits.connections);
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
    let connections = TaskTracker::new();
    let (closing, end) = (CancellationToken::new(), CancellationToken::new());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                // Out of file descriptors, most likely: give others time to close.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (place, progress) = if let Some((slot, progress)) = slots.take(limits.times).await {
            (Place::Served(slot), progress)
        } else {
            let Ok(permit) = Arc::clone(&turned_away).try_acquire_owned() else {
                metrics::closed(Closed::Unanswered);
                continue;
            };
            (Place::TurnedAway(permit), Arc::new(Progress::new(TURNED_AWAY_LIMITS)))
        };
        let connection = Connection {
            app: Arc::clone(&app),
            place,
            addresses: (LocalAddr(local.into()), RemoteAddr(remote.into())),
            progress,
            headers: limits.times.headers,
        };
        let (closing, end) = (closing.clone(), end.clone());
        connections.spawn(async move {
            tokio::select! {
                () = connection.drive(stream, closing) => (),
                () = end.cancelled() => (),
            }
        });
    }
    drop(listener);
    closing.cancel();
    connections.close();
    if tokio::time::timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests were still in flight after the grace time: closing their connections"
        );
        end.cancel();
        connections.wait().await;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
