//! Malformed requests and unknown query parameters: each response says what is wrong.

use anyhow::{Context as _, ensure};
use pipeline_tests::consumer_fixture::ConsumerFixture;
use pipeline_tests::customer_api::{CustomerApi, customer};
use pipeline_tests::order_api::{OrderApi, accepted, count, faults, order, problem};
use pipeline_tests::pipeline::{address, connect, start_relay};
use pipeline_tests::raw_http::exchange;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

/// The head and the problem of a response to a request that could not be parsed.
fn refusal(answer: &str, status: u16) -> anyhow::Result<String> {
    ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    ensure!(head.contains("content-type: application/problem+json"), "{answer}");
    ensure!(head.contains(&format!("content-length: {}\r\n", body.len())), "{answer}");
    let problem: Value = serde_json::from_str(body)?;
    ensure!(problem["status"] == status && problem["type"] == "about:blank", "{answer}");
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
    let id: Uuid = id.context("no id")?.parse()?;
    Ok(id.to_string())
}

#[tokio::test]
async fn what_the_parser_refuses_is_a_problem_with_an_id_on_each_port() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let database = stack::shared().await?.database("customers").await?;
    let customers = CustomerApi::start(&database.url, &[]).await?;
    let nobody = ("postgres://u@127.0.0.1:1/d", "amqp://127.0.0.1:1");
    let relay = start_relay(nobody.0, nobody.1).await?;
    let fixture = ConsumerFixture::start().await?;
    let consumer = fixture.consumer_process(&[]).await?;
    let mut urls = vec![api.url.clone(), api.ops_url.clone()];
    urls.extend([customers.url.clone(), customers.ops_url.clone()]);
    urls.push(address(&relay, "operations port is open").await?);
    urls.push(address(&consumer, "operations port is open").await?);
    let mut ids = Vec::new();
    for url in &urls {
        let large = format!("GET /up HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(17_000));
        let path = format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "x".repeat(17_000));
        for (request, status) in [
            ("nonsense\r\n\r\n", 400),
            ("GET /up\u{7f} HTTP/1.1\r\n\r\n", 400),
            ("GET /up HTTP/1.1\r\nhost\r\n\r\n", 400),
            (large.as_str(), 431),
            (path.as_str(), 431),
        ] {
            let answer = exchange(url, request.as_bytes()).await?;
            ids.push(refusal(&answer, status).with_context(|| format!("{url}: {answer}"))?);
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), urls.len() * 5, "each has an id of its own");
    Ok(())
}

async fn send(
    http: &reqwest::Client,
    method: Method,
    url: String,
    body: Option<&Value>,
) -> anyhow::Result<Response> {
    let request = http.request(method, url);
    Ok(match body {
        Some(body) => request.json(body),
        None => request,
    }
    .send()
    .await?)
}

#[tokio::test]
async fn a_query_parameter_that_a_call_does_not_have_is_refused_and_named() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let database = stack::shared().await?.database("customers").await?;
    let customers = CustomerApi::start(&database.url, &[]).await?;
    let made = api.create().await?;
    let person = customers.create("Juan").await?["id"].as_str().context("an id")?.to_owned();
    let (new_order, status) = (order(), json!({"order": {"status": "processing"}}));
    let new_customer = customer("Juan", "Bogotá");
    let calls = [
        (Method::GET, format!("{}/api/orders", api.url), None),
        (Method::GET, format!("{}/api/orders/{made}", api.url), None),
        (Method::POST, format!("{}/api/orders", api.url), Some(&new_order)),
        (Method::PATCH, format!("{}/api/orders/{made}", api.url), Some(&status)),
        (Method::GET, format!("{}/api/customers", customers.url), None),
        (Method::GET, format!("{}/api/customers/{person}", customers.url), None),
        (Method::POST, format!("{}/api/customers", customers.url), Some(&new_customer)),
    ];
    for (method, url, body) in calls {
        let refused = send(&api.http, method.clone(), format!("{url}?dry_run=1&x&dry_run=2"), body);
        assert_eq!(
            faults(refused.await?).await.with_context(|| format!("{method} {url}"))?,
            ["the query parameter dry_run is unknown", "the query parameter x is unknown"]
        );
        for broken in ["%", "limit=%zz", "a%4=1", "x=%e2%8"] {
            let refused = send(&api.http, method.clone(), format!("{url}?{broken}"), body).await?;
            problem(refused, 400).await.with_context(|| format!("{method} {url}?{broken}"))?;
        }
        if method == Method::GET {
            let head = send(&api.http, Method::HEAD, format!("{url}?x=1"), None).await?;
            assert_eq!(head.status(), 422, "HEAD {url}");
        }
    }
    let mut both = order();
    both["order"]["quantity"] = json!(0);
    let refused = send(&api.http, Method::POST, format!("{}/api/orders?x=1", api.url), Some(&both));
    assert_eq!(
        faults(refused.await?).await?,
        ["the query parameter x is unknown", "order.quantity must be an integer from 1 to 1000000"]
    );
    assert_eq!(count(&api.sql().await?, "orders").await?, 1);
    assert_eq!(count(&connect(&database.url).await?, "customers").await?, 1);
    let order: Value = api.get(&format!("/api/orders/{made}")).await?.json().await?;
    assert_eq!(order["status"], "created");
    Ok(())
}

#[tokio::test]
async fn what_is_no_call_ignores_query_parameters() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let database = stack::shared().await?.database("customers").await?;
    let customers = CustomerApi::start(&database.url, &[]).await?;
    for url in [&api.url, &customers.url] {
        for path in ["/up", "/docs", "/openapi.json", "/openapi.yaml"] {
            let answer = api.http.get(format!("{url}{path}?x=1&x=2&y=%zz")).send().await?;
            assert_eq!(answer.status(), 200, "{url}{path}");
        }
    }
    for url in [&api.ops_url, &customers.ops_url] {
        for path in ["/livez", "/readyz", "/metrics"] {
            let answer = api.http.get(format!("{url}{path}?x=1&x=2&y=%zz")).send().await?;
            assert_eq!(answer.status(), 200, "{url}{path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_operations_port_has_ids_and_problems_too() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    for (method, path, status) in [
        (Method::GET, "/livez", 200),
        (Method::GET, "/nothing", 404),
        (Method::POST, "/livez", 405),
    ] {
        let asked = api.http.request(method, format!("{}{path}", api.ops_url));
        let answer = asked.header("x-request-id", "mine").send().await?;
        assert_eq!(answer.status(), status, "{path}");
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("x-request-id"), Some("mine"), "{path}");
        assert_eq!(header("allow"), (status == 405).then_some("GET, HEAD"), "{path}");
        let is_problem = header("content-type") == Some("application/problem+json");
        assert_eq!(is_problem, status >= 400, "{path}: {:?}", header("content-type"));
    }
    Ok(())
}

#[tokio::test]
async fn a_cursor_is_a_position_whoever_was_there() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let database = stack::shared().await?.database("customers").await?;
    let customers = CustomerApi::start(&database.url, &[]).await?;
    for _ in 0..3 {
        api.create().await?;
        customers.create("Juan").await?;
    }
    let lists = [
        (format!("{}/api/orders", api.url), "orders", api.sql().await?, [0, 3]),
        (
            format!("{}/api/customers", customers.url),
            "customers",
            connect(&database.url).await?,
            [3, 0],
        ),
    ];
    for (list, table, sql, [after_least, after_greatest]) in lists {
        let page = async |query: String| {
            let answer = api.http.get(format!("{list}?{query}")).send().await?;
            ensure!(answer.status() == 200, "{query}: {}", answer.text().await?);
            let link = answer.headers().get("link").map(|link| link.to_str().map(str::to_owned));
            anyhow::Ok((answer.json::<Vec<Value>>().await?, link.transpose()?))
        };
        // These ids do not exist.
        assert_eq!(page(format!("cursor={}", "0".repeat(32))).await?.0.len(), after_least);
        assert_eq!(page(format!("cursor={}", "F".repeat(32))).await?.0.len(), after_greatest);
        // The cursor's row is deleted.
        let (first, link) = page("limit=1".to_owned()).await?;
        let id: Uuid = first[0]["id"].as_str().context("an id")?.parse()?;
        let query = link.context("a link")?;
        let query = query.split(['?', '>']).nth(1).context("a query")?.to_owned();
        assert!(query.contains(&id.simple().to_string()), "{query}");
        let delete = format!("DELETE FROM {table} WHERE id = $1");
        assert_eq!(sql.execute(&delete, &[&id]).await?, 1);
        let (second, _) = page(query).await?;
        assert!(second.len() == 1 && second[0]["id"] != first[0]["id"]);
    }
    Ok(())
}

#[tokio::test]
async fn names_and_addresses_hold_something_that_can_be_seen() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let database = stack::shared().await?.database("customers").await?;
    let customers = CustomerApi::start(&database.url, &[]).await?;
    let unseen = ["\u{200b}", " \u{200f}\u{2060}", "\u{feff}", "\u{ad}", "\u{3164}", "\u{2800}"];
    let separated = ["a\u{2028}b", "a\u{2029}"];
    let cases = unseen.map(|text| (text, "must hold something visible"));
    let cases = cases
        .into_iter()
        .chain(separated.map(|text| (text, "must not contain line or paragraph separators")));
    for (text, fault) in cases {
        for member in ["product_name", "delivery_address"] {
            let mut body = order();
            body["order"][member] = json!(text);
            let told = faults(api.post(&body).send().await?).await?;
            assert_eq!(told, [format!("order.{member} {fault}")], "{text:?}");
        }
        for (member, body) in [("name", customer(text, "a")), ("address", customer("a", text))] {
            let told = faults(customers.post(&body).await?).await?;
            assert_eq!(told, [format!("customer.{member} {fault}")], "{text:?}");
        }
    }
    let mut body = order();
    body["order"]["product_name"] = json!("👩\u{200d}🚀 می\u{200c}خواهم");
    accepted(api.post(&body).send().await?).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_not_a_number_is_no_price() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    for word in ["NaN", "nan", "-NaN", "Infinity", "-Infinity", "infinity", "INF", "+inf", "1e400"]
    {
        let mut body = order();
        body["order"]["price"] = json!(word);
        let rule = "order.price must be a number from 0 to 99999999.99 with at most two decimals";
        assert_eq!(faults(api.post(&body).send().await?).await?, [rule], "{word}");
        if word.ends_with("e400") {
            continue;
        }
        let literal = order().to_string().replace("\"1200.00\"", word);
        let url = format!("{}/api/orders", api.url);
        let post = api.http.post(url).header("content-type", "application/json").body(literal);
        problem(post.send().await?, 400).await.context(word)?;
    }
    assert_eq!(count(&api.sql().await?, "orders").await?, 0);
    Ok(())
}
