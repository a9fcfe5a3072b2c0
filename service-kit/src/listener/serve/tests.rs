use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// More than the kernel buffers between two sides that neither read nor write.
const LARGE: usize = 16 << 20;

/// A server for one test. Its handler answers `/large` with a large body, `/wait` after
/// [`Port::release`], and reads no body.
struct Port {
    address: SocketAddr,
    release: CancellationToken,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

struct Pages {
    release: CancellationToken,
}

impl Handler for Pages {
    type Body = String;

    async fn respond(&self, request: Request<Incoming>) -> Response<String> {
        match request.uri().path() {
            "/large" => return Response::new("x".repeat(LARGE)),
            "/wait" => self.release.cancelled().await,
            _ => {}
        }
        Response::new("here".to_owned())
    }
}

fn limits(connections: usize) -> Limits {
    let mut limits = Limits::new(connections);
    limits.times.min_idle = Duration::ZERO;
    limits
}

impl Port {
    async fn open(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (release, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let handler = Pages { release: release.clone() };
        let stop = shutdown.clone().cancelled_owned();
        let serving = tokio::spawn(serve(limits, listener, handler, PATIENCE, stop));
        Self { address, release, shutdown, serving }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    /// Opens a connection and sends `text`.
    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.expect("sent");
        stream
    }

    /// Opens a connection whose request has reached the handler and is not answered.
    async fn busy(&self) -> TcpStream {
        let stream = self.send(&get("/wait")).await;
        // Connections are served in the order in which they are accepted: this one has its slot by
        // then.
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: h\r\nx-request-id: mine\r\n\r\n")
}

/// Reads one response with a short body.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let length = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("in time").expect("read");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// Reads until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("in time").expect("closed well");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[track_caller]
fn is_problem(answer: &str, status: StatusCode) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {} ", status.as_u16())), "{answer}");
    assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
    assert!(answer.contains("x-request-id: "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with('}'), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count() - answer.matches("no HTTP/1.1").count(), 1);
}

#[tokio::test]
async fn a_rejected_connection_gets_a_request_id_too() {
    let port = Port::open(limits(1)).await;
    let mut first = port.busy().await;
    let mut second = port.send(&get("/")).await;
    let received = rest(&mut second).await;
    is_problem(&received, StatusCode::SERVICE_UNAVAILABLE);
    assert!(received.contains("x-request-id: mine"), "{received}");
    port.release.cancel();
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_connection_that_was_idle_for_longest_makes_room() {
    let port = Port::open(limits(3)).await;
    let mut busy = port.busy().await;
    let (mut older, mut newer) = (port.connect().await, port.connect().await);
    for name in ["newer", "older", "newer"] {
        let stream = if name == "older" { &mut older } else { &mut newer };
        stream.write_all(get("/").as_bytes()).await.expect("sent");
        assert!(answer(stream).await.starts_with("HTTP/1.1 200"));
    }
    let mut third = port.send(&get("/")).await;
    assert!(answer(&mut third).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut older).await, "", "it is closed, and in good order");
    newer.write_all(get("/").as_bytes()).await.expect("sent");
    assert!(answer(&mut newer).await.starts_with("HTTP/1.1 200"));
    port.release.cancel();
    assert!(answer(&mut busy).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_connection_that_sends_nothing_gives_its_slot_up() {
    let mut limits = limits(1);
    limits.times.idle = Duration::from_millis(200);
    let port = Port::open(limits).await;
    let mut silent = port.connect().await;
    assert_eq!(rest(&mut silent).await, "");
}

#[tokio::test]
async fn headers_that_drip_in_are_refused_and_those_that_come_in_time_are_not() {
    let mut limits = limits(2);
    limits.times.headers = Duration::from_secs(1);
    let port = Port::open(limits).await;
    let mut dripping = port.connect().await;
    let begun = std::time::Instant::now();
    let received = loop {
        dripping.write_all(b"a").await.expect("sent");
        let mut bytes = vec![0; 4096];
        if let Ok(length) = timeout(Duration::from_millis(20), dripping.read(&mut bytes)).await {
            bytes.truncate(length.expect("an answer"));
            break String::from_utf8_lossy(&bytes).into_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "it may drip for ever");
    };
    is_problem(&received, StatusCode::REQUEST_TIMEOUT);
    // Silence before a request does not count.
    let mut patient = port.connect().await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    patient.write_all(get("/").as_bytes()).await.expect("sent");
    assert!(answer(&mut patient).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn what_is_no_request_is_told_so_in_a_problem_after_the_answers_before_it() {
    let port = Port::open(limits(10)).await;
    let large = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "x".repeat(16 * 1024));
    let unfinished = format!("GET /{}", "x".repeat(16 * 1024));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    for (wrong, status) in [
        ("nonsense\r\n\r\n", StatusCode::BAD_REQUEST),
        ("GET / HTTP/1.1\r\nhost\r\n\r\n", StatusCode::BAD_REQUEST),
        ("GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", StatusCode::BAD_REQUEST),
        ("GET / HTTP/9.1\r\n\r\n", StatusCode::BAD_REQUEST),
        (large.as_str(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        (unfinished.as_str(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        (many.as_str(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    ] {
        is_problem(&rest(&mut port.send(wrong).await).await, status);
        let mut after_another = port.send(&(get("/") + wrong)).await;
        let received = rest(&mut after_another).await;
        let (first, second) = received.split_once("here").expect("the first answer");
        assert!(first.starts_with("HTTP/1.1 200 OK"), "{first}");
        is_problem(second, status);
    }
    let largest = format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "x".repeat(15 * 1024));
    assert!(answer(&mut port.send(&largest).await).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn nothing_is_written_into_an_answer_that_is_being_read() {
    let port = Port::open(limits(10)).await;
    // The handler does not read the body; what follows is not a request.
    let post = "POST /large HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbodynonsense\r\n\r\n";
    let pipelined = format!("{}nonsense\r\n\r\n", get("/large"));
    for text in [post, &pipelined] {
        let mut stream = port.send(text).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let received = rest(&mut stream).await;
        let (_, body) = received.split_once("\r\n\r\n").expect("a body");
        assert!(body.len() >= LARGE && body[..LARGE].bytes().all(|byte| byte == b'x'));
        assert_eq!(received.contains("connection: close\r\n"), text == post || body.len() > LARGE);
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_loses_its_slot_and_a_slow_reader_gets_everything() {
    let mut limits = limits(2);
    limits.times.stall = Duration::from_secs(1);
    let port = Port::open(limits).await;
    let mut unread = port.send(&get("/large")).await;
    let mut slow = port.send(&get("/large")).await;
    let (mut bytes, mut length) = (vec![0; 1 << 20], 0);
    while length < LARGE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let read = timeout(PATIENCE, slow.read(&mut bytes)).await.expect("in time").expect("more");
        assert!(read > 0, "{length} bytes of the answer");
        length += read;
    }
    let begun = std::time::Instant::now();
    while !answer(&mut port.send(&get("/")).await).await.starts_with("HTTP/1.1 200") {
        assert!(begun.elapsed() < PATIENCE, "no slot is free");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut received = Vec::new();
    let ended = timeout(PATIENCE, unread.read_to_end(&mut received)).await.expect("in time");
    assert!(ended.is_err() && received.len() < LARGE, "the rest is dropped");
}

#[tokio::test]
async fn a_stop_sends_answers_to_their_end_and_waits_for_no_half_request() {
    let port = Port::open(limits(10)).await;
    let mut reading = port.send(&get("/large")).await;
    let mut first = [0; 12];
    reading.read_exact(&mut first).await.expect("it begins");
    let mut waiting = port.busy().await;
    let mut halfway = port.send("GET / HTT").await;
    let mut idle = port.send(&get("/")).await;
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 200"));
    port.shutdown.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert_eq!(rest(&mut halfway).await, "");
    // Longer than the time limit for a partial request.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!port.serving.is_finished());
    port.release.cancel();
    let received = rest(&mut waiting).await;
    assert!(received.contains("connection: close\r\n") && received.ends_with("here"), "{received}");
    let received = rest(&mut reading).await;
    let (_, body) = received.split_once("\r\n\r\n").expect("a body");
    assert_eq!(body.len(), LARGE);
    timeout(PATIENCE, port.serving).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_arrives() {
    for (expected, is_full) in [("HTTP/1.1 200", false), ("HTTP/1.1 503", true)] {
        let port = Port::open(limits(1)).await;
        let _busy = if is_full { Some(port.busy().await) } else { None };
        let mut stream = port.connect().await;
        // The client can send all of it only if the server reads it.
        socket2::SockRef::from(&stream).set_send_buffer_size(4096).expect("set");
        let head = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 900000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("sent");
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all("x".repeat(900_000).as_bytes()).await.expect("sent");
        let received = rest(&mut stream).await;
        assert!(
            received.starts_with(expected) && received.contains("connection: close\r\n"),
            "{received}"
        );
    }
}

#[tokio::test]
async fn a_client_that_connected_before_shutdown_is_answered() {
    let port = Port::open(limits(100)).await;
    // Nothing is accepted meanwhile: test and server share one thread.
    let connected: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(port.address).expect("connected");
            std::io::Write::write_all(&mut stream, get("/").as_bytes()).expect("sent");
            stream.set_nonblocking(true).expect("set");
            stream
        })
        .collect();
    port.shutdown.cancel();
    for stream in connected {
        let mut stream = TcpStream::from_std(stream).expect("a stream");
        assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
    timeout(PATIENCE, port.serving).await.expect("in time").expect("no panic");
}
