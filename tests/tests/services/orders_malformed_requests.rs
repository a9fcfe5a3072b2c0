//! Malformed HTTP or JSON requests: each gets a problem response, and none hangs or affects others.

use std::time::Duration;

use pipeline_tests::order_api::{OrderApi, accepted, count, order, problem};
use reqwest::{Body, Method, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn post(
    api: &OrderApi,
    content_type: &str,
    body: impl Into<Body>,
) -> anyhow::Result<Response> {
    let post = api.http.post(format!("{}/api/orders", api.url));
    Ok(post.header("content-type", content_type).body(body).send().await?)
}

/// A valid order, padded with spaces to this many bytes.
fn padded(length: usize) -> String {
    let body = order().to_string();
    let blanks = " ".repeat(length - body.len());
    body + &blanks
}

/// Sends bytes as they are and reads until the server closes the connection.
async fn raw(api: &OrderApi, request: &[u8]) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(api.url.trim_start_matches("http://")).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn what_is_no_json_is_a_bad_request() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let deep = "[".repeat(60_000);
    for body in ["", "{", "{\"order\":}", "order=1", "{}}", "\u{feff}{}", &deep] {
        problem(post(&api, "application/json", body.to_owned()).await?, 400).await?;
    }
    problem(post(&api, "application/json", vec![b'"', 0xff, b'"']).await?, 400).await?;
    let nested = format!("{{\"order\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    problem(post(&api, "application/json", nested).await?, 422).await?;
    problem(post(&api, "application/json", "[]").await?, 422).await?;
    Ok(())
}

#[tokio::test]
async fn a_body_may_have_64_kib_and_not_more_chunked_or_not() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let head = "POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let chunked = |text: String| {
        let mut request = format!("{head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
        for chunk in text.as_bytes().chunks(1000) {
            request += &format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk));
        }
        request + "0\r\n\r\n"
    };
    accepted(post(&api, "application/json", padded(65_536)).await?).await?;
    let answer = raw(&api, chunked(padded(65_536)).as_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    for length in [65_537, 300_000] {
        problem(post(&api, "application/json", padded(length)).await?, 413).await?;
        let answer = raw(&api, chunked(padded(length)).as_bytes()).await?;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    let announced = format!("{head}Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n");
    let answer = raw(&api, announced.as_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(count(&api.sql().await?, "orders").await?, 2);
    Ok(())
}

#[tokio::test]
async fn only_json_in_utf_8_is_taken() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let body = order().to_string();
    accepted(post(&api, "application/json; charset=utf-8", body.clone()).await?).await?;
    for other in ["text/plain", "application/xml", "application/json; charset=utf-16", "json"] {
        problem(post(&api, other, body.clone()).await?, 415).await?;
    }
    let url = format!("{}/api/orders", api.url);
    problem(api.http.post(&url).body(body.clone()).send().await?, 415).await?;
    problem(api.post(&order()).header("content-encoding", "gzip").send().await?, 415).await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_path_or_method_is_told_as_a_problem() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    for path in ["/", "/api", "/api/orders/1/2", "/docs/x", "/api/orders/", "//", "/metrics"] {
        problem(api.get(path).await?, 404).await?;
    }
    for (method, path, allow) in [
        (Method::DELETE, "/api/orders", "POST, GET, HEAD"),
        (Method::PUT, "/api/orders/7", "GET, HEAD, PATCH"),
        (Method::OPTIONS, "/api/orders", "POST, GET, HEAD"),
        (Method::POST, "/up", "GET, HEAD"),
        (Method::POST, "/docs", "GET, HEAD"),
        (Method::from_bytes(b"BREW")?, "/openapi.json", "GET, HEAD"),
    ] {
        let answer = api.http.request(method, format!("{}{path}", api.url)).send().await?;
        assert_eq!(answer.headers()["allow"], allow, "{path}");
        problem(answer, 405).await?;
    }
    Ok(())
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_a_sane_one_is_kept() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let id = |answer: &Response| answer.headers()["x-request-id"].to_str().map(str::to_owned);
    let mut made = Vec::new();
    for path in ["/up", "/docs", "/api/orders", "/nowhere", "/api/orders?x=1"] {
        let answer = api.http.get(format!("{}{path}", api.url));
        assert_eq!(id(&answer.header("x-request-id", "mine-1_a.b").send().await?)?, "mine-1_a.b");
        made.push(id(&api.get(path).await?)?);
    }
    let insane = api.http.get(format!("{}/up", api.url)).header("x-request-id", "a b{}");
    made.push(id(&insane.send().await?)?);
    assert!(made.iter().all(|id| id.parse::<uuid::Uuid>().is_ok()), "{made:?}");
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 6);
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_hardly_http_do_no_harm() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    for (request, status) in [
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", " 400 "),
        ("CONNECT a:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", " 400 "),
        ("GET http://x/up HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", " 200 "),
        ("GET /api/orders/%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", " 404 "),
        ("GET /api/orders?%ff=%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", " 422 "),
        ("HEAD /api/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", " 200 "),
        ("nonsense\r\n\r\n", " 400 "),
    ] {
        let answer = raw(&api, request.as_bytes()).await?;
        let first = answer.lines().next().unwrap_or_default();
        assert!(first.contains(status), "{request:?}: {answer}");
    }
    accepted(api.post(&order()).send().await?).await?;
    Ok(())
}

#[tokio::test]
async fn a_body_that_stops_halfway_is_given_up() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let half = "POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let answer = raw(&api, half.as_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    Ok(())
}
