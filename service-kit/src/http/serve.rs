//! The listener of an API: bounded connections, time limits, graceful stop.
//!
//! The framework's own server sets no limit on reading headers, none on connections, and spins when the process runs
//! out of file descriptors; so the connections are driven here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::http::uri::Scheme;
use poem::http::{HeaderValue, header};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, IntoResponse as _, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::metrics;
use super::problem::Problem;
use super::request_id::{HEADER, RequestId};

/// How long a connection may take to send the next request's headers, silence between two requests included. Longer than
/// what proxies usually keep an idle connection for, so that it is they who close it.
const HEADERS: Duration = Duration::from_secs(75);

/// How many connections over the limit are told so at once; any more are closed without a word.
const TURNED_AWAY: usize = 32;

/// How long a connection that is turned away may take to send its request.
const TURNED_AWAY_HEADERS: Duration = Duration::from_secs(2);

/// How long a connection that has sent nothing yet may still do so after the stop.
const LAST_CALL: Duration = Duration::from_millis(500);

/// Settings of the listener.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct ServeArgs {
    /// Connections at the most; whoever comes on top is answered 503. Each needs a file descriptor
    #[arg(long, env = "HTTP_MAX_CONNECTIONS", default_value_t = 800, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub http_max_connections: u32,
}

/// How much a listener puts up with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at the most.
    pub(crate) connections: usize,
    /// How long a connection may take to send the next request's headers.
    pub(crate) headers: Duration,
}

/// Runs `app` on `listener` until `shutdown`; then finishes the requests in flight, for at most `grace`.
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
    let limits =
        Limits { connections: usize::try_from(args.http_max_connections)?, headers: HEADERS };
    serve_within(limits, listener, app, grace, shutdown).await
}

/// [`serve`] for any port, with limits of its own.
pub(crate) async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    app: impl Endpoint<Output = Response> + 'static,
    grace: Duration,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    metrics::describe_connections();
    let local = listener.local_addr()?;
    let app = Arc::new(app);
    let (places, turned_away) =
        (Arc::new(Semaphore::new(limits.connections)), Arc::new(Semaphore::new(TURNED_AWAY)));
    let connections = TaskTracker::new();
    let end = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
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
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(permit) => Place::Served(permit),
            Err(_) => match Arc::clone(&turned_away).try_acquire_owned() {
                Ok(permit) => Place::TurnedAway(permit),
                Err(_) => continue,
            },
        };
        let connection = Connection {
            app: Arc::clone(&app),
            place,
            headers: limits.headers,
            addresses: (LocalAddr(local.into()), RemoteAddr(remote.into())),
            in_flight: AtomicUsize::new(0),
        };
        let (shutdown, end) = (shutdown.clone(), end.clone());
        connections.spawn(async move {
            tokio::select! {
                () = connection.drive(stream, shutdown) => (),
                () = end.cancelled() => (),
            }
        });
    }
    drop(listener);
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

/// What a connection may do.
enum Place {
    Served(#[expect(dead_code, reason = "held while the connection lives")] OwnedSemaphorePermit),
    TurnedAway(
        #[expect(dead_code, reason = "held while the connection lives")] OwnedSemaphorePermit,
    ),
}

struct Connection<E> {
    app: Arc<E>,
    place: Place,
    headers: Duration,
    addresses: (LocalAddr, RemoteAddr),
    in_flight: AtomicUsize,
}

impl<E: Endpoint<Output = Response>> Connection<E> {
    async fn drive(&self, stream: TcpStream, shutdown: CancellationToken) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "can't switch Nagle's algorithm off");
        }
        let patience = match self.place {
            Place::Served(_) => self.headers,
            Place::TurnedAway(_) => self.headers.min(TURNED_AWAY_HEADERS),
        };
        let service = service_fn(|request| async {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            let (local, remote) = self.addresses.clone();
            let response = self.answer((request, local, remote, Scheme::HTTP).into()).await;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(hyper::Response::from(response))
        });
        let mut connection = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(patience)
                .serve_connection(TokioIo::new(stream), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    // A connection that has sent nothing yet would be waited for until its headers' limit.
                    () = self.unused() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    async fn unused(&self) {
        tokio::time::sleep(LAST_CALL).await;
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            std::future::pending::<()>().await;
        }
    }

    async fn answer(&self, request: Request) -> Response {
        match self.place {
            Place::Served(_) => self.app.get_response(request).await,
            Place::TurnedAway(_) => {
                metrics::turned_away();
                let id = RequestId::of(&request);
                Problem::unavailable(
                    "Too many connections are open; try again soon.",
                    "the limit on connections",
                )
                .header(header::CONNECTION, HeaderValue::from_static("close"))
                .header(HEADER, id.header())
                .into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use poem::EndpointExt as _;
    use poem::endpoint::make_sync;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A port with one place, and the task that serves it.
    async fn narrow(headers: Duration) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let app = make_sync(|_| "here").map_to_response();
        let limits = Limits { connections: 1, headers };
        tokio::spawn(serve_within(limits, listener, app, Duration::ZERO, CancellationToken::new()));
        address
    }

    async fn exchange(stream: &mut TcpStream) -> String {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: h\r\nx-request-id: mine\r\n\r\n")
            .await
            .expect("sent");
        let mut bytes = [0; 2048];
        let length = stream.read(&mut bytes).await.expect("an answer");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[tokio::test]
    async fn whoever_is_turned_away_gets_a_request_id_too() {
        let address = narrow(HEADERS).await;
        let mut first = TcpStream::connect(address).await.expect("connected");
        assert!(exchange(&mut first).await.starts_with("HTTP/1.1 200"));
        let mut second = TcpStream::connect(address).await.expect("connected");
        let answer = exchange(&mut second).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("x-request-id: mine"), "{answer}");
    }

    #[tokio::test]
    async fn a_connection_that_sends_nothing_gives_its_place_up() {
        let address = narrow(Duration::from_millis(200)).await;
        let mut silent = TcpStream::connect(address).await.expect("connected");
        let closed = tokio::time::timeout(Duration::from_secs(30), silent.read(&mut [0])).await;
        assert_eq!(closed.expect("closed in time").expect("closed in good order"), 0);
    }
}
