//! Clients that read slowly or not at all, or that never complete their requests, do not affect
//! others.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use pipeline_tests::metrics::shows;
use pipeline_tests::order_api::{OrderApi, order};
use pipeline_tests::outbox::eventually;
use pipeline_tests::pipeline::PATIENCE;
use pipeline_tests::raw_http::{connect_to, read_slowly, reader, rest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ALL_BUSY: [&str; 4] = ["--customer-check", "off", "--http-max-connections", "5"];

/// The response of `/up` over a new connection.
async fn up(api: &OrderApi) -> anyhow::Result<u16> {
    let answer = api.http.get(format!("{}/up", api.url)).header("connection", "close");
    Ok(answer.send().await?.status().as_u16())
}

#[tokio::test]
async fn readers_who_read_nothing_or_a_byte_a_second_give_their_slots_up() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&ALL_BUSY).await?;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(reader(&api.url, "/docs", 4096).await?);
    }
    for _ in 0..2 {
        let mut dripping = reader(&api.url, "/docs", 4096).await?;
        tokio::spawn(async move {
            while dripping.read(&mut [0]).await.is_ok_and(|read| read > 0) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    let begun = Instant::now();
    eventually("all slots are taken", async || Ok(up(&api).await? == 503)).await?;
    // Closed without a response: there are too many of them, or they send no request.
    let unasked = try_join_all((0..40).map(|_| connect_to(&api.url))).await?;
    shows(api.service(), &["http_connections_closed_total{reason=\"unanswered\"} 40"]).await?;
    drop(unasked);

    while up(&api).await? != 200 {
        assert!(begun.elapsed() < Duration::from_secs(60), "all slots are still taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shows(api.service(), &["http_connections_closed_total{reason=\"slow_reading\"} 5"]).await?;
    assert!(begun.elapsed() < Duration::from_secs(60), "some were not closed in time");
    Ok(())
}

#[tokio::test]
async fn a_client_that_reads_100_kilobytes_a_second_gets_all() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let page = api.get("/docs").await?.bytes().await?;
    assert!(page.len() > 1_000_000, "too small to be read slowly: {}", page.len());
    let mut stream = reader(&api.url, "/docs", 65_536).await?;
    let pause = Duration::from_millis(100);
    assert!(read_slowly(&mut stream, 10_000, pause, || Ok(())).await? == page);
    // The connection is kept for the next request.
    stream.write_all(b"GET /up HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await?;
    assert!(rest(&mut stream).await?.starts_with("HTTP/1.1 200 "));
    Ok(())
}

#[tokio::test]
async fn headers_and_bodies_that_do_not_end_are_refused_on_each_port() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let body = "POST /api/orders HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
                content-length: 1000\r\n\r\n{";
    for (url, text) in
        [(&api.url, "GET /up HTT"), (&api.ops_url, "GET /livez HTT"), (&api.url, body)]
    {
        let mut stream = connect_to(url).await?;
        stream.write_all(text.as_bytes()).await?;
        let answer = rest(&mut stream).await?;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{text}: {answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
        assert!(answer.to_lowercase().contains("x-request-id: "), "{answer}");
    }
    let reasons = [("slow_headers", 2), ("slow_body", 1)];
    let lines = reasons.map(|(reason, count)| {
        format!("http_connections_closed_total{{reason=\"{reason}\"}} {count}")
    });
    shows(api.service(), &lines.each_ref().map(String::as_str)).await
}

#[tokio::test]
async fn an_idle_connection_makes_room_for_a_new_one() -> anyhow::Result<()> {
    let api = OrderApi::start_with(&ALL_BUSY).await?;
    let idle = try_join_all((0..5).map(|_| connect_to(&api.url))).await?;
    // Their requests may be in flight; until then none is closed.
    eventually("one of them makes room", async || Ok(up(&api).await? == 200)).await?;
    drop(idle);
    shows(api.service(), &["http_connections_closed_total{reason=\"idle\"} 1"]).await
}

#[tokio::test]
async fn a_request_whose_client_went_away_is_counted_by_its_route() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let (mut sql, observer) = (api.sql().await?, api.sql().await?);
    let lock = sql.transaction().await?;
    lock.batch_execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await?;
    let body = order().to_string();
    let id = "11111111-1111-1111-1111-111111111111";
    for (request, route, statement) in [
        (
            format!("GET /api/orders/{id} HTTP/1.1\r\nhost: h\r\n\r\n"),
            "/api/orders/{id}",
            "%FROM orders%",
        ),
        (
            format!(
                "POST /api/orders HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            ),
            "/api/orders",
            "%INSERT INTO%",
        ),
    ] {
        let mut client = connect_to(&api.url).await?;
        client.write_all(request.as_bytes()).await?;
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1";
        eventually("it waits", async || {
            Ok(observer.query_one(waiting, &[&statement]).await?.get::<_, i64>(0) > 0)
        })
        .await?;
        drop(client);
        let line = format!("http_requests_abandoned_total{{route=\"{route}\"}} 1");
        shows(api.service(), &[&line]).await?;
    }
    lock.rollback().await?;
    shows(api.service(), &["http_requests_abandoned_total{route=\"none\"} 0"]).await
}

/// Sends as much of `text` as the server accepts, and reads until it closes the connection. Returns
/// the response's status, if any.
async fn hostile(api: &OrderApi, text: &str) -> anyhow::Result<Option<u16>> {
    let mut stream: TcpStream = connect_to(&api.url).await?;
    // The server may close, or reset, at any time.
    stream.write_all(text.as_bytes()).await.ok();
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await?.ok();
    let answer = String::from_utf8_lossy(&bytes);
    Ok(answer.split(' ').nth(1).and_then(|status| status.parse().ok()))
}

/// The memory limit of the service's container in megabytes (`compose.yml`, `deploy/kubernetes`).
#[cfg(target_os = "linux")]
const CONTAINER: u64 = 256;

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hostile_connections_do_not_fill_the_container() -> anyhow::Result<()> {
    use pipeline_tests::rss::Rss;

    let api = OrderApi::start().await?;
    let head = "POST /api/orders HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n";
    let padding = format!("x: {}\r\n", "x".repeat(15 * 1024));
    let many: String = (0..95).map(|number| format!("x-{number}: {number}\r\n")).collect();
    let unfinished_body = format!("content-length: 65000\r\n\r\n{{{}", " ".repeat(64_000));
    let chunk = format!("ff00\r\n{}\r\n", " ".repeat(0xff00));
    for (text, refusal) in [
        (format!("{head}{padding}"), 408),
        (format!("{head}{padding}{unfinished_body}"), 408),
        (format!("{head}{many}transfer-encoding: chunked\r\n\r\n{chunk}"), 408),
        (format!("{head}{padding}{padding}"), 431),
    ] {
        let answers = try_join_all((0..1000).map(|_| hostile(&api, &text))).await?;
        let refused = answers.iter().filter(|answer| **answer == Some(refusal)).count();
        assert!(refused >= 500, "{refused} were refused; others: {answers:?}");
        let resident = Rss::of(api.service())?;
        assert!(resident.peak < CONTAINER, "{resident:?} MB after {}", &text[..200]);
        assert_eq!(up(&api).await?, 200);
    }
    Ok(())
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_that_nobody_reads_do_not_fill_the_container() -> anyhow::Result<()> {
    use pipeline_tests::rss::Rss;

    let api = OrderApi::start().await?;
    api.sql()
        .await?
        .batch_execute(
            "INSERT INTO orders (id, customer_public_id, product_name, quantity, price, delivery_address)
             SELECT gen_random_uuid(), gen_random_uuid(), repeat('🚀', 255), 1, 1, repeat('🚀', 1000)
             FROM generate_series(1, 500)",
        )
        .await?;
    let readers: Vec<TcpStream> =
        try_join_all((0..300).map(|_| reader(&api.url, "/api/orders?limit=500", 4096))).await?;
    // Each is answered now, with the list, or with 503 if too many are waiting.
    let resident = Rss::of(api.service())?;
    assert!(resident.peak < CONTAINER, "{resident:?} MB");
    drop(readers);
    // Their memory is freed.
    eventually("a list is answered again", async || {
        let list = api.get("/api/orders?limit=500").await?;
        Ok(list.status() == 200 && list.bytes().await?.len() > 2_000_000)
    })
    .await
}
