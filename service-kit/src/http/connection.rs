//! One connection: its requests are answered, and it is closed when its client keeps it waiting for too long.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use poem::http::uri::Scheme;
use poem::http::{HeaderValue, header};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, IntoResponse as _, Request, Response};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::response_body::ResponseBody;
use super::linger;
use super::response_memory::MemoryPermit;
use super::metrics::{self, CloseReason, NO_ROUTE, AbandonGuard};
use super::problem::Problem;
use super::progress::{Phase, Progress};
use super::raw_response;
use super::request_id::{HEADER, RequestId};
use super::slots::Slot;
use super::stream::ClientStream;

/// The largest head of a request, in bytes: its line and its headers. Of a body no more is read ahead, either.
const MAX_HEAD: usize = 16 * 1024;

/// How many bytes of an answer the system keeps for a client; it takes twice as much memory, which counts as the container's.
const SEND_BUFFER: usize = 32 * 1024;

/// How long the system waits for a client that acknowledges nothing. More than an answer may be stalled, which is noticed first.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// What a connection may do.
pub(super) enum Permit {
    /// Its requests go to the application.
    Served(#[expect(dead_code, reason = "held while the connection lives")] Slot),
    /// It is rendered that there are too many.
    Rejected(
        #[expect(dead_code, reason = "held while the connection lives")] OwnedSemaphorePermit,
    ),
}

/// A connection of a client.
pub(super) struct Connection<E> {
    pub(super) app: Arc<E>,
    pub(super) permit: Permit,
    pub(super) addresses: (LocalAddr, RemoteAddr),
    pub(super) progress: Arc<Progress>,
    /// How long headers may take.
    pub(super) headers: Duration,
}

/// Why a connection ends.
enum ConnectionEnd {
    /// The client closed it, or it was closed after an answer.
    Finished,
    /// hyper can't go on.
    Failed(hyper::Error),
    /// The client kept it waiting in this phase.
    TimedOut(Phase),
    /// Another one needs its slot.
    Evicted,
}

impl<E: Endpoint<Output = Response>> Connection<E> {
    /// Serves the connection until it ends; from `closing` on, until what is under way is answered.
    pub(super) async fn run(self, tcp: TcpStream, closing: CancellationToken) {
        if let Err(error) = set_options(&tcp) {
            tracing::debug!(%error, "can't set an option of a connection");
        }
        let this = &self;
        let service = service_fn(move |request| {
            // hyper looks whether the client is still there before it lets the application begin.
            let abandon_guard = AbandonGuard::new(NO_ROUTE);
            async move {
                abandon_guard.disarm();
                let response = hyper::Response::from(this.respond(request).await);
                let body = |body| ResponseBody::new(body, Arc::clone(&this.progress));
                Ok::<_, Infallible>(response.map(body))
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
                    return Poll::Ready(ended.map_or_else(ConnectionEnd::Failed, |()| ConnectionEnd::Finished));
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
        // From here on nobody is to wait for its slot to be free at once.
        let end = if self.progress.bytes_received() { end } else { ConnectionEnd::Evicted };
        let tcp = connection.into_parts().io.into_inner().into_tcp();
        self.close(end, tcp, stopping).await;
    }

    async fn respond(&self, request: hyper::Request<Incoming>) -> Response {
        if !self.progress.request_started() {
            // The connection ends instead: the application must not begin what nobody will be rendered of.
            std::future::pending::<()>().await;
        }
        let has_body = !request.body().is_end_stream();
        let (local, remote) = self.addresses.clone();
        let mut request: Request = (request, local, remote, Scheme::HTTP).into();
        request.set_data(Arc::clone(&self.progress));
        let mut response = self.handle(request).await;
        let memory = response.extensions_mut().remove::<MemoryPermit>();
        if self.progress.response_started(has_body, memory) {
            // What is left of the body would stand before the next request; and hyper must not see that one before the answer is sent.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn handle(&self, request: Request) -> Response {
        match self.permit {
            Permit::Served(_) => self.app.get_response(request).await,
            Permit::Rejected(_) => {
                metrics::record_rejected();
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
                // The system must not keep the rest of the answer either.
                if let Err(error) = tcp.set_zero_linger() {
                    tracing::debug!(%error, "can't reset a connection");
                }
            }
            (ConnectionEnd::TimedOut(_), Permit::Rejected(_)) => metrics::record_closed(CloseReason::Unanswered),
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

    use poem::EndpointExt as _;
    use poem::endpoint::make_sync;
    use poem::http::StatusCode;
    use tokio::io::{AsyncWriteExt as _, Interest};
    use tokio::net::TcpListener;

    use super::*;
    use crate::http::serve::Limits;
    use crate::http::slots::Slots;

    #[tokio::test]
    async fn a_request_whose_client_has_gone_does_not_begin_and_is_counted() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let _recorded = ::metrics::set_default_local_recorder(&recorder);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut client = TcpStream::connect(address).await.expect("connected");
        client.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.expect("sent");
        drop(client);
        let (accepted, remote) = listener.accept().await.expect("accepted");
        // The system may tell of the request before it tells of the end.
        while !accepted.ready(Interest::READABLE).await.expect("readable").is_read_closed() {
            tokio::task::yield_now().await;
        }
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let app = make_sync(move |_| {
            begins.store(true, Ordering::Relaxed);
            StatusCode::OK.into_response()
        });
        let limits = Limits::new(1).times;
        let (slot, progress) = Slots::new(1).acquire(limits).await.expect("a slot");
        let connection = Connection {
            app: Arc::new(app.map_to_response()),
            permit: Permit::Served(slot),
            addresses: (LocalAddr(address.into()), RemoteAddr(remote.into())),
            progress,
            headers: limits.headers,
        };
        connection.run(accepted, CancellationToken::new()).await;
        assert!(!begun.load(Ordering::Relaxed), "the request began");
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
