//! The HTTP listener: bounded connections, graceful shutdown.
//!
//! The framework's own server does not limit the time to read headers or the number of connections,
//! and spins when the process runs out of file descriptors. So connections are served here.

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

use super::connection::{Connection, Permit};
use super::metrics::{self, CloseReason};
use super::progress::{Progress, TimeLimits};
use super::slots::Slots;

/// How many connections over the limit get a 503 at once. Further ones are closed without a
/// response.
const MAX_REJECTED: usize = 32;

/// How long new connections are still accepted after shutdown began, if they keep coming.
const ACCEPT_GRACE: Duration = Duration::from_millis(500);

/// After this long without a new connection, the accept queue is empty, and the last client has had
/// time to send its request.
const ACCEPT_IDLE: Duration = Duration::from_millis(100);

/// The time limits of a connection that gets a 503.
const REJECTED_LIMITS: TimeLimits = TimeLimits {
    idle: Duration::from_secs(2),
    min_idle: Duration::from_secs(2),
    headers: Duration::from_secs(2),
    stall: Duration::from_secs(2),
    response: Duration::from_secs(2),
};

/// Settings of the listener.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct ServeArgs {
    /// Connections at the most; one on top takes the place of the one that has been idle for
    /// longest, else is answered 503. Each needs a file descriptor
    #[arg(long, env = "HTTP_MAX_CONNECTIONS", default_value_t = 800, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub http_max_connections: u32,

    /// How long to go on accepting after SIGTERM or SIGINT, not ready any more: until load
    /// balancers have noticed. SHUTDOWN_GRACE begins after it
    #[arg(long, env = "SHUTDOWN_DELAY", value_parser = limit_or_none, default_value = "0s", value_name = "DURATION")]
    pub shutdown_delay: Duration,
}

/// The limits of a listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The largest number of connections.
    pub(crate) connections: usize,
    /// The time limits of a connection.
    pub(crate) times: TimeLimits,
}

impl Limits {
    /// Returns the default time limits, for this many connections.
    pub(crate) const fn new(connections: usize) -> Self {
        let times = TimeLimits {
            // Longer than proxies usually keep an idle connection, so that the proxy closes it
            // first.
            idle: Duration::from_secs(75),
            min_idle: Duration::from_millis(500),
            headers: Duration::from_secs(10),
            stall: Duration::from_secs(20),
            response: Duration::from_secs(30),
        };
        Self { connections, times }
    }
}

/// Serves `app` on `listener` until `shutdown`, plus the configured delay. Then finishes the
/// requests in flight, for at most `grace`.
///
/// # Errors
/// If the listener has no local address.
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
    serve_with_limits(limits, listener, app, grace, stop).await
}

/// Like [`serve`], with other limits, until `stop` completes.
pub(crate) async fn serve_with_limits(
    limits: Limits,
    listener: TcpListener,
    app: impl Endpoint<Output = Response> + 'static,
    grace: Duration,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    metrics::describe_connections();
    let mut server = Server::new(limits, app, &listener)?;
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => server.admit(accepted).await,
        }
    }
    // Clients that have connected already would see a reset.
    let last = Instant::now() + ACCEPT_GRACE;
    while Instant::now() < last
        && let Ok(accepted) = tokio::time::timeout(ACCEPT_IDLE, listener.accept()).await
    {
        server.admit(accepted).await;
    }
    drop(listener);
    server.drain(grace).await;
    Ok(())
}

/// A listener's connections.
struct Server<E> {
    limits: Limits,
    local: SocketAddr,
    app: Arc<E>,
    slots: Slots,
    rejected: Arc<Semaphore>,
    connections: TaskTracker,
    /// Cancelled when connections should finish.
    closing: CancellationToken,
    /// Cancelled when connections are closed at once.
    abort: CancellationToken,
}

impl<E: Endpoint<Output = Response> + 'static> Server<E> {
    fn new(limits: Limits, app: E, listener: &TcpListener) -> std::io::Result<Self> {
        Ok(Self {
            limits,
            local: listener.local_addr()?,
            app: Arc::new(app),
            slots: Slots::new(limits.connections),
            rejected: Arc::new(Semaphore::new(MAX_REJECTED)),
            connections: TaskTracker::new(),
            closing: CancellationToken::new(),
            abort: CancellationToken::new(),
        })
    }

    /// Serves a connection in its own task, or rejects it.
    async fn admit(&mut self, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                // Usually out of file descriptors: wait until other connections close.
                tokio::time::sleep(Duration::from_millis(100)).await;
                return;
            }
        };
        let (permit, progress) =
            if let Some((slot, progress)) = self.slots.acquire(self.limits.times).await {
                (Permit::Served(slot), progress)
            } else {
                let Ok(permit) = Arc::clone(&self.rejected).try_acquire_owned() else {
                    metrics::record_closed(CloseReason::Unanswered);
                    return;
                };
                (Permit::Rejected(permit), Arc::new(Progress::new(REJECTED_LIMITS)))
            };
        let connection = Connection {
            app: Arc::clone(&self.app),
            permit,
            addresses: (LocalAddr(self.local.into()), RemoteAddr(remote.into())),
            progress,
            headers: self.limits.times.headers,
        };
        // Child tokens: each poll locks its token, and connections would wait for each other.
        let (closing, abort) = (self.closing.child_token(), self.abort.child_token());
        self.connections.spawn(async move {
            tokio::select! {
                () = connection.run(stream, closing) => (),
                () = abort.cancelled() => (),
            }
        });
    }

    /// Waits for the requests in flight, for at most `grace`.
    async fn drain(self, grace: Duration) {
        self.connections.close();
        self.closing.cancel();
        if tokio::time::timeout(grace, self.connections.wait()).await.is_err() {
            tracing::warn!(
                connections = self.connections.len(),
                "requests were still in flight after the grace time: closing their connections"
            );
            self.abort.cancel();
            self.connections.wait().await;
        }
    }
}

#[cfg(test)]
mod tests;
