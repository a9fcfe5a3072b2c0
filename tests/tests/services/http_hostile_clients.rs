//! Hostile bytes on the HTTP port of each program: one clear answer or a closed connection, never
//! an answer to a request that is smuggled in a body, and the next client is served.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use pipeline_tests::console::Console;
use pipeline_tests::order_api::OrderApi;
use pipeline_tests::outbox::Outbox;
use pipeline_tests::pipeline::{PATIENCE, address, ready, start_customer_api};
use pipeline_tests::raw_http::{connect_to, rest};
use stack::{Database, Service};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

type Tested = anyhow::Result<()>;

/// How soon the next client is served: before any limit on a hostile one ends, the shortest of which
/// is 10 s, though machine and build are slow.
const SOON: Duration = Duration::from_secs(5);

/// The smallest memory limit of their containers in megabytes (`compose.yml`).
#[cfg(target_os = "linux")]
const CONTAINER: u64 = 256;

/// A program's HTTP port.
struct Port<'a> {
    url: &'a str,
    /// What everybody may get.
    page: &'static str,
    /// What takes a body of JSON.
    resource: &'static str,
    process: &'a Service,
}

struct Programs {
    orders: OrderApi,
    customers: (Service, String, Database),
    console: (Console, Outbox),
}

impl Programs {
    async fn start() -> anyhow::Result<Self> {
        let orders = OrderApi::start().await?;
        let database = stack::shared().await?.database("customers").await?;
        let customers = start_customer_api(&database.url).await?;
        ready(&customers).await?;
        let url = address(&customers, "HTTP port is open").await?;
        let outbox = Outbox::new().await?;
        let console = Console::start(&outbox, None, &[]).await?;
        Ok(Self { orders, customers: (customers, url, database), console: (console, outbox) })
    }

    fn ports(&self) -> [Port<'_>; 3] {
        let (console, _) = &self.console;
        let (customers, url, _) = &self.customers;
        [
            Port {
                url: &self.orders.url,
                page: "/up",
                resource: "/api/orders",
                process: self.orders.service(),
            },
            Port { url, page: "/up", resource: "/api/customers", process: customers },
            Port {
                url: &console.url,
                page: "/assets/icon.svg",
                resource: "/api/operations",
                process: &console.process,
            },
        ]
    }
}

/// Sends as much as the server takes, and returns all that it answers until it closes the
/// connection.
async fn send(url: &str, bytes: &[u8]) -> anyhow::Result<String> {
    let (mut reading, mut writing) = connect_to(url).await?.into_split();
    // The server may close, or reset, at any time.
    let write = async { writing.write_all(bytes).await.ok() };
    let mut answer = Vec::new();
    let read = async { timeout(PATIENCE, reading.read_to_end(&mut answer)).await };
    let (_, read) = tokio::join!(write, read);
    read.context("it stays open")?.ok();
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The statuses of the responses in `answer`.
fn statuses(answer: &str) -> Vec<&str> {
    let after = answer.split("HTTP/1.1 ").skip(1).filter_map(|response| response.get(..3));
    after.filter(|status| status.bytes().all(|digit| digit.is_ascii_digit())).collect()
}

/// The headers of a request with a body, but its length.
fn head(port: &Port<'_>) -> String {
    let resource = port.resource;
    format!("POST {resource} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n")
}

async fn next_client_is_served(port: &Port<'_>) -> Tested {
    let request =
        format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n", port.page);
    let served = async {
        let mut stream = connect_to(port.url).await?;
        stream.write_all(request.as_bytes()).await?;
        rest(&mut stream).await
    };
    let answer = timeout(SOON, served).await.context("the next client waits")??;
    ensure!(statuses(&answer) == ["200"], "{answer}");
    Ok(())
}

#[tokio::test]
async fn what_a_proxy_may_read_otherwise_is_answered_once_and_ends_the_connection() -> Tested {
    let programs = Programs::start().await?;
    for port in programs.ports() {
        let get = format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1\r\n", port.page);
        let post = head(&port);
        // What would be answered 200 if it were taken for a request.
        let smuggled = format!("{get}\r\n");
        for (head, fields, body, allowed) in [
            (&post, "content-length: 2\r\ncontent-length: 50\r\n", "{}", &["400"][..]),
            (&post, "content-length: 2, 50\r\n", "{}", &["400"]),
            (
                &post,
                "content-length: 2\r\ntransfer-encoding: chunked\r\n",
                "2\r\n{}\r\n0\r\n\r\n",
                &["400", "422"],
            ),
            (
                &post,
                "transfer-encoding: chunked\r\ncontent-length: 2\r\n",
                "2\r\n{}\r\n0\r\n\r\n",
                &["400", "422"],
            ),
            (
                &post,
                "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
                "0\r\n\r\n",
                &["400"],
            ),
            (&post, "transfer-encoding: chunked, identity\r\n", "0\r\n\r\n", &["400"]),
            (&post, "transfer-encoding: xchunked\r\n", "0\r\n\r\n", &["400"]),
            (&post, "transfer-encoding : chunked\r\n", "0\r\n\r\n", &["400"]),
            (&post, "content-length: +2\r\n", "{}", &["400"]),
            (&post, "content-length: -1\r\n", "{}", &["400"]),
            (&post, "content-length: 0x2\r\n", "{}", &["400"]),
            (&post, "content-length: 99999999999999999999\r\n", "{}", &["400"]),
            (&post, "transfer-encoding: chunked\r\n", "-2\r\n{}\r\n0\r\n\r\n", &["400"]),
            (
                &post,
                "transfer-encoding: chunked\r\n",
                "fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
                &["400"],
            ),
            (&post, "transfer-encoding: chunked\r\n", "2\r\n{}0\r\n\r\n", &["400"]),
            (&get, "x: a\r\n folded\r\n", "", &["400"]),
            (&get, "x: a\rb\r\n", "", &["400"]),
            (&get, "x: a\0b\r\n", "", &["400"]),
            (&get, "x y: a\r\n", "", &["400"]),
        ] {
            let request = format!("{head}{fields}\r\n{body}{smuggled}");
            let answer = send(port.url, request.as_bytes()).await?;
            let told = statuses(&answer);
            ensure!(
                told.len() == 1 && allowed.contains(&told[0]),
                "{}{request}: {answer}",
                port.url
            );
            ensure!(
                answer.contains("content-type: application/problem+json"),
                "{request}: {answer}"
            );
            next_client_is_served(&port).await.context(request)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn requests_in_one_piece_are_each_answered_in_their_order() -> Tested {
    let programs = Programs::start().await?;
    for port in programs.ports() {
        let found = format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", port.page);
        let not_found = "GET /nowhere HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
        let last = "GET /nowhere HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
        let request = format!("{}{last}", format!("{found}{not_found}").repeat(50));
        let answer = send(port.url, request.as_bytes()).await?;
        let expected = ["200", "404"].into_iter().cycle().take(100).chain(["404"]);
        ensure!(statuses(&answer) == expected.collect::<Vec<_>>(), "{}: {answer}", port.url);
        // A line may end with a line feed alone, which no proxy reads as another request.
        let bare = format!("GET {} HTTP/1.1\nhost: 127.0.0.1\nconnection: close\n\n", port.page);
        let answer = send(port.url, bare.as_bytes()).await?;
        ensure!([&["200"][..], &["400"]].contains(&&statuses(&answer)[..]), "{answer}");
    }
    Ok(())
}

/// A request whose headers arrive a byte a second, until the server has had enough.
async fn byte_by_byte(port: &Port<'_>) -> anyhow::Result<String> {
    let (mut reading, mut writing) = connect_to(port.url).await?.into_split();
    let mut answer = Vec::new();
    let write = async {
        for byte in head(port).bytes() {
            writing.write_all(&[byte]).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        read = timeout(PATIENCE, reading.read_to_end(&mut answer)) => read.context("it stays open")??,
        wrote = write => anyhow::bail!("the server waits on: {wrote:?}"),
    };
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Connections whose requests are cut, and requests that go on until the server has had enough.
async fn cut_and_endless(port: &Port<'_>) -> Tested {
    let post = head(port);
    let chunked = format!("{post}transfer-encoding: chunked\r\n\r\n");
    let cut = [
        post.clone(),
        format!("{post}content-length: 60000\r\n\r\n{{"),
        format!("{chunked}5\r\n{{"),
        format!("{chunked}2;x={}", "x".repeat(10_000)),
    ];
    let mut open = Vec::new();
    for text in cut.iter().cycle().take(200) {
        let mut stream = connect_to(port.url).await?;
        stream.write_all(text.as_bytes()).await?;
        open.push(stream);
    }
    next_client_is_served(port).await?;
    for endless in [
        format!("{chunked}2;x={}", "x".repeat(4 << 20)),
        format!("{chunked}{}", "1\r\n \r\n".repeat(200_000)),
        format!("{chunked}2\r\n{{}}\r\n0\r\n{}", "x: y\r\n".repeat(1 << 20)),
        format!("{post}{}", "x: y\r\n".repeat(1 << 20)),
    ] {
        let answer = send(port.url, endless.as_bytes()).await?;
        let told = statuses(&answer);
        // The console reads two bodies at a time: others may wait in vain for the cut ones.
        let is_refusal =
            |status: &&str| ["400", "408", "413", "422", "431", "503"].contains(status);
        ensure!(told.len() <= 1 && told.iter().all(is_refusal), "{}: {answer}", &endless[..250]);
        next_client_is_served(port).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_cut_slow_or_endless_keeps_nobody_waiting_and_little_memory() -> Tested {
    let programs = Programs::start().await?;
    let endured = async |port: Port<'_>| {
        let (slow, others) = tokio::join!(byte_by_byte(&port), cut_and_endless(&port));
        others.with_context(|| port.url.to_owned())?;
        let slow = slow?;
        ensure!(statuses(&slow) == ["408"], "{slow}");
        #[cfg(target_os = "linux")]
        {
            let resident = pipeline_tests::rss::Rss::of(port.process)?;
            ensure!(resident.peak < CONTAINER, "{}: {resident:?} MB", port.url);
        }
        Ok(())
    };
    let [orders, customers, console] = programs.ports();
    tokio::try_join!(endured(orders), endured(customers), endured(console))?;
    Ok(())
}
