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

use super::answer_body::AnswerBody;
use super::linger;
use super::memory::Held;
use super::metrics::{self, Closed, NO_ROUTE, Unanswered};
use super::problem::Problem;
use super::progress::{Phase, Progress};
use super::rejection;
use super::request_id::{HEADER, RequestId};
use super::slots::Slot;
use super::stream::ClientStream;

/// The largest head of a request, in bytes: its line and its headers. Of a body no more is read ahead, either.
const LARGEST_HEAD: usize = 16 * 1024;

/// How many bytes of an answer the system keeps for a client; it takes twice as much memory, which counts as the container's.
const SEND_BUFFER: usize = 32 * 1024;

/// How long the system waits for a client that acknowledges nothing. More than an answer may be stalled, which is noticed first.
#[cfg(target_os = "linux")]
const ACKNOWLEDGED: Duration = Duration::from_secs(30);

/// What a connection may do.
pub(super) enum Place {
    /// Its requests go to the application.
    Served(#[expect(dead_code, reason = "held while the connection lives")] Slot),
    /// It is told that there are too many.
    TurnedAway(
        #[expect(dead_code, reason = "held while the connection lives")] OwnedSemaphorePermit,
    ),
}

/// A connection of a client.
pub(super) struct Connection<E> {
    pub(super) app: Arc<E>,
    pub(super) place: Place,
    pub(super) addresses: (LocalAddr, RemoteAddr),
    pub(super) progress: Arc<Progress>,
    /// How long headers may take.
    pub(super) headers: Duration,
}

/// Why a connection ends.
enum End {
    /// The client closed it, or it was closed after an answer.
    Done,
    /// hyper can't go on.
    Failed(hyper::Error),
    /// The client kept it waiting in this phase.
    Overdue(Phase),
    /// Another one needs its slot.
    GivenUp,
}

impl<E: Endpoint<Output = Response>> Connection<E> {
    /// Serves the connection until it ends; from `closing` on, until what is under way is answered.
    pub(super) async fn drive(self, tcp: TcpStream, closing: CancellationToken) {
        if let Err(error) = set_options(&tcp) {
            tracing::debug!(%error, "can't set an option of a connection");
        }
        let this = &self;
        let service = service_fn(move |request| {
            // hyper looks whether the client is still there before it lets the application begin.
            let unseen = Unanswered::new(NO_ROUTE);
            async move {
                unseen.answered();
                let response = hyper::Response::from(this.respond(request).await);
                let body = |body| AnswerBody::new(body, Arc::clone(&this.progress));
                Ok::<_, Infallible>(response.map(body))
            }
        });
        let stream = ClientStream::new(tcp, Arc::clone(&self.progress));
        let mut connection = http1::Builder::new()
            .header_read_timeout(None::<Duration>)
            .max_buf_size(LARGEST_HEAD)
            .max_header_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut overdue = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let mut stopping = false;
        let end = loop {
            let served = std::future::poll_fn(|task| {
                if let Poll::Ready(ended) = Pin::new(&mut connection).poll(task) {
                    return Poll::Ready(ended.map_or_else(End::Failed, |()| End::Done));
                }
                let Some(deadline) = self.progress.deadline() else {
                    return Poll::Pending;
                };
                if overdue.deadline() != deadline {
                    overdue.as_mut().reset(deadline);
                }
                overdue.as_mut().poll(task).map(|()| End::Overdue(self.progress.phase()))
            });
            tokio::select! {
                biased;
                () = self.progress.given_up() => break End::GivenUp,
                end = served => break end,
                () = closing.cancelled(), if !stopping => {
                    stopping = true;
                    self.progress.stop();
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        // From here on nobody is to wait for its slot to be free at once.
        let end = if self.progress.received() { end } else { End::GivenUp };
        let tcp = connection.into_parts().io.into_inner().into_tcp();
        self.finish(end, tcp, stopping).await;
    }

    async fn respond(&self, request: hyper::Request<Incoming>) -> Response {
        if !self.progress.called() {
            // The connection ends instead: the application must not begin what nobody will be told of.
            std::future::pending::<()>().await;
        }
        let has_body = !request.body().is_end_stream();
        let (local, remote) = self.addresses.clone();
        let mut request: Request = (request, local, remote, Scheme::HTTP).into();
        request.set_data(Arc::clone(&self.progress));
        let mut response = self.answer(request).await;
        let held = response.extensions_mut().remove::<Held>();
        if self.progress.answered(has_body, held) {
            // What is left of the body would stand before the next request; and hyper must not see that one before the answer is sent.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
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

    async fn finish(&self, end: End, tcp: TcpStream, stopping: bool) {
        match (end, &self.place) {
            (End::Failed(error), _) => match rejection::of_error(&error) {
                Some(problem) if self.progress.is_between_requests() => {
                    rejection::send(tcp, &problem).await;
                }
                _ => tracing::debug!(%error, "a connection ended early"),
            },
            (End::GivenUp, _) => metrics::closed(Closed::Idle),
            (End::Overdue(Phase::Answering), _) => {
                metrics::closed(Closed::SlowReading);
                // The system must not keep the rest of the answer either.
                if let Err(error) = tcp.set_zero_linger() {
                    tracing::debug!(%error, "can't reset a connection");
                }
            }
            (End::Overdue(_), Place::TurnedAway(_)) => metrics::closed(Closed::Unanswered),
            (End::Overdue(Phase::Headers), Place::Served(_)) if !stopping => {
                metrics::closed(Closed::SlowHeaders);
                rejection::send(tcp, &rejection::of_slow_headers(self.headers)).await;
            }
            (End::Done, _) if self.progress.body_is_left() => {
                if let Err(error) = linger::close(tcp).await {
                    tracing::debug!(%error, "an answer was perhaps not read");
                }
            }
            (End::Done, _) | (End::Overdue(_), Place::Served(_)) => {}
        }
    }
}

fn set_options(tcp: &TcpStream) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(ACKNOWLEDGED))?;
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
        let (slot, progress) = Slots::new(1).take(limits).await.expect("a slot");
        let connection = Connection {
            app: Arc::new(app.map_to_response()),
            place: Place::Served(slot),
            addresses: (LocalAddr(address.into()), RemoteAddr(remote.into())),
            progress,
            headers: limits.headers,
        };
        connection.drive(accepted, CancellationToken::new()).await;
        assert!(!begun.load(Ordering::Relaxed), "nobody would be told");
        let told = recorder.handle().render();
        assert!(told.contains("http_requests_abandoned_total{route=\"none\"} 1"), "{told}");
    }

    #[tokio::test]
    async fn the_system_keeps_little_for_a_client_and_not_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let _client = TcpStream::connect(address).await.expect("connected");
        let (accepted, _) = listener.accept().await.expect("accepted");
        set_options(&accepted).expect("options of a connection");
        let socket = SockRef::from(&accepted);
        assert_eq!(socket.tcp_user_timeout().expect("a time"), Some(ACKNOWLEDGED));
        assert!(socket.send_buffer_size().expect("a size") <= 2 * SEND_BUFFER);
        assert!(accepted.nodelay().expect("an option"));
    }
}
