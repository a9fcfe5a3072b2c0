//! One client connection: serves its requests, and closes it if the client takes too long.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::Either;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::handler::{Handler, PeerAddress};
use super::linger;
use super::metrics::{self, AbandonGuard, CloseReason, NO_ROUTE};
use super::progress::{MemoryPermit, Phase, Progress};
use super::raw_response;
use super::request_id::{HEADER, RequestId};
use super::response_body::ResponseBody;
use super::slots::Slot;
use super::stream::ClientStream;
use crate::problem::Problem;

/// The largest request head (request line and headers), in bytes. Also limits how much of a body is
/// read ahead.
const MAX_HEAD: usize = 16 * 1024;

/// The kernel's send buffer, in bytes. It takes twice as much memory, which counts towards the
/// container's limit.
const SEND_BUFFER: usize = 32 * 1024;

/// How long the kernel waits for acknowledgements. Longer than the limit on a stalled response,
/// which is noticed first.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// What a connection was admitted for.
pub(super) enum Permit {
    /// Its requests go to the handler.
    Served(#[expect(dead_code, reason = "held while the connection lives")] Slot),
    /// Its requests get 503, because too many connections are open.
    Rejected(#[expect(dead_code, reason = "held while the connection lives")] OwnedSemaphorePermit),
}

/// A connection of a client.
pub(super) struct Connection<H> {
    pub(super) handler: Arc<H>,
    pub(super) permit: Permit,
    /// The client's address.
    pub(super) peer: SocketAddr,
    pub(super) progress: Arc<Progress>,
    /// How long the headers of a request may take.
    pub(super) headers: Duration,
}

/// Why a connection ended.
enum ConnectionEnd {
    /// The client closed it, or it was closed after a response.
    Finished,
    /// hyper reported an error.
    Failed(hyper::Error),
    /// The client exceeded the time limit of this phase.
    TimedOut(Phase),
    /// Another connection needed its slot.
    Evicted,
}

impl<H: Handler> Connection<H> {
    /// Serves the connection until it ends. After `closing`, finishes the request in flight.
    pub(super) async fn run(self, tcp: TcpStream, closing: CancellationToken) {
        if let Err(error) = set_options(&tcp) {
            tracing::debug!(%error, "can't set an option of a connection");
        }
        let this = &self;
        let service = service_fn(move |request| {
            // hyper checks that the client is still connected before it polls the handler.
            let abandon_guard = AbandonGuard::new(NO_ROUTE);
            async move {
                abandon_guard.disarm();
                let body = |body| ResponseBody::new(body, Arc::clone(&this.progress));
                Ok::<_, Infallible>(this.respond(request).await.map(body))
            }
        });
        let stream = ClientStream::new(tcp, Arc::clone(&self.progress));
        let mut connection = http1::Builder::new()
            .header_read_timeout(None::<Duration>)
            .max_buf_size(MAX_HEAD)
            .max_header_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut overdue = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let mut stopping = false;
        let end = loop {
            let served = std::future::poll_fn(|task| {
                if let Poll::Ready(ended) = Pin::new(&mut connection).poll(task) {
                    return Poll::Ready(
                        ended.map_or_else(ConnectionEnd::Failed, |()| ConnectionEnd::Finished),
                    );
                }
                let Some(deadline) = self.progress.deadline() else {
                    return Poll::Pending;
                };
                if overdue.deadline() != deadline {
                    overdue.as_mut().reset(deadline);
                }
                overdue.as_mut().poll(task).map(|()| ConnectionEnd::TimedOut(self.progress.phase()))
            });
            tokio::select! {
                biased;
                () = self.progress.evicted() => break ConnectionEnd::Evicted,
                end = served => break end,
                () = closing.cancelled(), if !stopping => {
                    stopping = true;
                    self.progress.stop();
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        // Marks the connection as no longer idle, so that it can't be evicted any more.
        let end = if self.progress.bytes_received() { end } else { ConnectionEnd::Evicted };
        let tcp = connection.into_parts().io.into_inner().into_tcp();
        self.close(end, tcp, stopping).await;
    }

    async fn respond(&self, mut request: Request<Incoming>) -> Response<Either<H::Body, String>> {
        if !self.progress.request_started() {
            // Never returns, so that the connection ends: the client is gone, and the handler must
            // not begin work whose result nobody receives.
            std::future::pending::<()>().await;
        }
        let has_body = !request.body().is_end_stream();
        request.extensions_mut().insert(Arc::clone(&self.progress));
        request.extensions_mut().insert(PeerAddress(self.peer));
        let mut response = match self.permit {
            Permit::Served(_) => self.handler.respond(request).await.map(Either::Left),
            Permit::Rejected(_) => reject(&request).map(Either::Right),
        };
        let memory = response.extensions_mut().remove::<MemoryPermit>();
        if self.progress.response_started(has_body, memory) {
            // The rest of the body would be parsed as the next request. hyper must not see that
            // request before the response is sent.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn close(&self, end: ConnectionEnd, tcp: TcpStream, stopping: bool) {
        match (end, &self.permit) {
            (ConnectionEnd::Failed(error), _) => match raw_response::for_parse_error(&error) {
                Some(problem) if self.progress.is_between_requests() => {
                    raw_response::send(tcp, &problem).await;
                }
                _ => tracing::debug!(%error, "a connection ended early"),
            },
            (ConnectionEnd::Evicted, _) => metrics::record_closed(CloseReason::Idle),
            (ConnectionEnd::TimedOut(Phase::Responding), _) => {
                metrics::record_closed(CloseReason::SlowReading);
                // Drops what is left in the kernel's send buffer.
                if let Err(error) = tcp.set_zero_linger() {
                    tracing::debug!(%error, "can't reset a connection");
                }
            }
            (ConnectionEnd::TimedOut(_), Permit::Rejected(_)) => {
                metrics::record_closed(CloseReason::Unanswered);
            }
            (ConnectionEnd::TimedOut(Phase::Headers), Permit::Served(_)) if !stopping => {
                metrics::record_closed(CloseReason::SlowHeaders);
                raw_response::send(tcp, &raw_response::slow_headers(self.headers)).await;
            }
            (ConnectionEnd::Finished, _) if self.progress.has_unread_body() => {
                if let Err(error) = linger::close(tcp).await {
                    tracing::debug!(%error, "an answer was perhaps not read");
                }
            }
            (ConnectionEnd::Finished, _) | (ConnectionEnd::TimedOut(_), Permit::Served(_)) => {}
        }
    }
}

/// Returns the response to a request over the limit on connections.
fn reject(request: &Request<Incoming>) -> Response<String> {
    metrics::record_rejected();
    let id = RequestId::of(request.headers());
    Problem::unavailable(
        "Too many connections are open; try again soon.",
        "the limit on connections",
    )
    .header(header::CONNECTION, HeaderValue::from_static("close"))
    .header(HEADER, id.header())
    .into()
}

fn set_options(tcp: &TcpStream) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncWriteExt as _, Interest};
    use tokio::net::TcpListener;

    use super::*;
    use crate::listener::serve::Limits;
    use crate::listener::slots::Slots;

    /// Remembers that a request has begun.
    #[derive(Default)]
    struct Begun(AtomicBool);

    impl Handler for Begun {
        type Body = String;

        async fn respond(&self, _: Request<Incoming>) -> Response<String> {
            self.0.store(true, Ordering::Relaxed);
            Response::default()
        }
    }

    #[tokio::test]
    async fn a_request_whose_client_has_gone_does_not_begin_and_is_counted() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let _recorded = ::metrics::set_default_local_recorder(&recorder);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut client = TcpStream::connect(address).await.expect("connected");
        client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.expect("sent");
        drop(client);
        let (accepted, peer) = listener.accept().await.expect("accepted");
        // The kernel may report the request before it reports that the client has closed.
        while !accepted.ready(Interest::READABLE).await.expect("readable").is_read_closed() {
            tokio::task::yield_now().await;
        }
        let limits = Limits::new(1).times;
        let (slot, progress) = Slots::new(1).acquire(limits).await.expect("a slot");
        let begun = Arc::new(Begun::default());
        let connection = Connection {
            handler: Arc::clone(&begun),
            permit: Permit::Served(slot),
            peer,
            progress,
            headers: limits.headers,
        };
        connection.run(accepted, CancellationToken::new()).await;
        assert!(!begun.0.load(Ordering::Relaxed), "the request began");
        let rendered = recorder.handle().render();
        assert!(rendered.contains("http_requests_abandoned_total{route=\"none\"} 1"), "{rendered}");
    }

    #[tokio::test]
    async fn the_system_keeps_little_for_a_client_and_not_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let _client = TcpStream::connect(address).await.expect("connected");
        let (accepted, _) = listener.accept().await.expect("accepted");
        set_options(&accepted).expect("options of a connection");
        let socket = SockRef::from(&accepted);
        assert_eq!(socket.tcp_user_timeout().expect("a time"), Some(TCP_USER_TIMEOUT));
        assert!(socket.send_buffer_size().expect("a size") <= 2 * SEND_BUFFER);
        assert!(accepted.nodelay().expect("an option"));
    }
}
