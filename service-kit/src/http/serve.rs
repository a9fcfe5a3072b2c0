//! The listener of an API: bounded connections, graceful stop.
//!
//! The framework's own server sets no limit on reading headers, none on connections, and spins when the process runs
//! out of file descriptors; so the connections are driven here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::limit_or_none;

use super::connection::{Connection, Place};
use super::metrics::{self, Closed};
use super::progress::{Progress, TimeLimits};
use super::slots::Slots;

/// How many connections over the limit are told so at once; any more are closed without a word.
const TURNED_AWAY: usize = 32;

/// How long connections that come without a pause are still accepted after the stop.
const LAST_ACCEPTED: Duration = Duration::from_millis(500);

/// After so long without a connection, none waits to be accepted, and the last one has had time to send its request.
const QUIET: Duration = Duration::from_millis(100);

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
    let mut port = Port::new(limits, app, &listener)?;
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => port.admit(accepted).await,
        }
    }
    // Those who have connected already would be reset.
    let last = Instant::now() + LAST_ACCEPTED;
    while Instant::now() < last
        && let Ok(accepted) = tokio::time::timeout(QUIET, listener.accept()).await
    {
        port.admit(accepted).await;
    }
    drop(listener);
    port.close(grace).await;
    Ok(())
}

/// The connections of a listener.
struct Port<E> {
    limits: Limits,
    local: SocketAddr,
    app: Arc<E>,
    slots: Slots,
    turned_away: Arc<Semaphore>,
    connections: TaskTracker,
    /// Cancelled when connections are to come to their end.
    closing: CancellationToken,
    /// Cancelled when they are cut off.
    end: CancellationToken,
}

impl<E: Endpoint<Output = Response> + 'static> Port<E> {
    fn new(limits: Limits, app: E, listener: &TcpListener) -> std::io::Result<Self> {
        Ok(Self {
            limits,
            local: listener.local_addr()?,
            app: Arc::new(app),
            slots: Slots::new(limits.connections),
            turned_away: Arc::new(Semaphore::new(TURNED_AWAY)),
            connections: TaskTracker::new(),
            closing: CancellationToken::new(),
            end: CancellationToken::new(),
        })
    }

    /// Serves a connection in a task of its own, or turns it away.
    async fn admit(&mut self, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                // Out of file descriptors, most likely: give others time to close.
                tokio::time::sleep(Duration::from_millis(100)).await;
                return;
            }
        };
        let (place, progress) =
            if let Some((slot, progress)) = self.slots.take(self.limits.times).await {
                (Place::Served(slot), progress)
            } else {
                let Ok(permit) = Arc::clone(&self.turned_away).try_acquire_owned() else {
                    metrics::closed(Closed::Unanswered);
                    return;
                };
                (Place::TurnedAway(permit), Arc::new(Progress::new(TURNED_AWAY_LIMITS)))
            };
        let connection = Connection {
            app: Arc::clone(&self.app),
            place,
            addresses: (LocalAddr(self.local.into()), RemoteAddr(remote.into())),
            progress,
            headers: self.limits.times.headers,
        };
        // Children: each poll locks its token, and connections would wait for each other's locks.
        let (closing, end) = (self.closing.child_token(), self.end.child_token());
        self.connections.spawn(async move {
            tokio::select! {
                () = connection.drive(stream, closing) => (),
                () = end.cancelled() => (),
            }
        });
    }

    /// Answers what is under way, for at most `grace`.
    async fn close(self, grace: Duration) {
        self.connections.close();
        self.closing.cancel();
        if tokio::time::timeout(grace, self.connections.wait()).await.is_err() {
            tracing::warn!(
                connections = self.connections.len(),
                "requests were still in flight after the grace time: closing their connections"
            );
            self.end.cancel();
            self.connections.wait().await;
        }
    }
}

#[cfg(test)]
mod tests;
