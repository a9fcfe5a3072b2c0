//! Accepts connections, a bounded number of them, and shuts down gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Connection, Permit};
use super::handler::Handler;
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

/// The limits of a listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The largest number of connections.
    pub(super) connections: usize,
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

/// Answers requests on `listener` until `stop` completes. Then finishes the requests in flight, for
/// at most `grace`.
pub(crate) async fn serve(
    limits: Limits,
    listener: TcpListener,
    handler: impl Handler,
    grace: Duration,
    stop: impl Future<Output = ()>,
) {
    metrics::describe_connections();
    let mut server = Server::new(limits, handler);
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
}

/// A listener's connections.
struct Server<H> {
    limits: Limits,
    handler: Arc<H>,
    slots: Slots,
    rejected: Arc<Semaphore>,
    connections: TaskTracker,
    /// Cancelled when connections should finish.
    closing: CancellationToken,
    /// Cancelled when connections are closed at once.
    abort: CancellationToken,
}

impl<H: Handler> Server<H> {
    fn new(limits: Limits, handler: H) -> Self {
        Self {
            limits,
            handler: Arc::new(handler),
            slots: Slots::new(limits.connections),
            rejected: Arc::new(Semaphore::new(MAX_REJECTED)),
            connections: TaskTracker::new(),
            closing: CancellationToken::new(),
            abort: CancellationToken::new(),
        }
    }

    /// Serves a connection in its own task, or rejects it.
    async fn admit(&mut self, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        let (stream, peer) = match accepted {
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
            handler: Arc::clone(&self.handler),
            permit,
            peer,
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
