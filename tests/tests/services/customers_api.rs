//! The customer service's HTTP API.

use anyhow::Context as _;
use pipeline_tests::customer_api::{CustomerApi, customer};
use pipeline_tests::order_api::{faults, problem};
use pipeline_tests::pipeline::connect;
use reqwest::Response;
use serde_json::{Value, json};
use stack::Database;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

type Tested = anyhow::Result<()>;

async fn fresh() -> anyhow::Result<(Database, CustomerApi)> {
    let database = stack::shared().await?.database("customers").await?;
    let api = CustomerApi::start(&database.url, &[]).await?;
    Ok((database, api))
}

fn next(answer: &Response) -> anyhow::Result<Option<String>> {
    let Some(link) = answer.headers().get("link") else { return Ok(None) };
    let link = link.to_str()?;
    let target = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
    Ok(Some(target.with_context(|| format!("a strange link: {link}"))?.to_owned()))
}

#[tokio::test]
async fn a_customer_that_is_made_can_be_found_where_the_answer_says() -> Tested {
    let (_database, api) = fresh().await?;
    let answer = api.post(&customer("Juan Pérez", "Cra 7 #12-34, Bogotá")).await?;
    assert_eq!(answer.status(), 201);
    assert!(answer.headers().contains_key("x-request-id"));
    let location = answer.headers()["location"].to_str()?.to_owned();
    let made: Value = answer.json().await?;
    assert_eq!(location, format!("/api/customers/{}", made["id"].as_str().context("an id")?));
    let found: Value = api.get(&location).await?.error_for_status()?.json().await?;
    assert_eq!(found, made);
    let id = found["id"].clone();
    assert_eq!(
        found,
        json!({"id": id, "name": "Juan Pérez", "address": "Cra 7 #12-34, Bogotá", "orders_count": 0})
    );
    api.stop().await
}

#[tokio::test]
async fn a_customer_who_is_not_there_is_not_found_whatever_the_id_is() -> Tested {
    let (_database, api) = fresh().await?;
    for id in [
        "44444444-4444-4444-4444-444444444444",
        "44444444444444444444444444444444",
        "17",
        "Juan",
        "%00",
        "a%2Fb",
        "'; DROP TABLE customers; --",
    ] {
        let told =
            problem(api.get(&format!("/api/customers/{id}")).await?, 404).await.context(id)?;
        assert_eq!(told["type"], "urn:problem:customer-not-found", "{id}");
    }
    // A path that is not a route has another problem type.
    let told = problem(api.get("/api/customer").await?, 404).await?;
    assert_eq!(told["type"], "about:blank");
    let delete = api.http.delete(format!("{}/api/customers", api.url)).send().await?;
    assert_eq!(delete.headers()["allow"].to_str()?, "GET, HEAD, POST");
    problem(delete, 405).await?;
    Ok(())
}

#[tokio::test]
async fn all_that_is_wrong_with_a_customer_is_told_at_once() -> Tested {
    let (database, api) = fresh().await?;
    let body = json!({"customer": {"name": " \t", "orders_count": 5}, "force": true});
    assert_eq!(
        faults(api.post(&body).await?).await?,
        [
            "customer.name must not be blank",
            "customer.name must not contain control characters",
            "customer.address is missing",
            "customer.orders_count is unknown",
            "force is unknown",
        ]
    );
    for (body, expected) in [
        (json!({}), "customer is missing"),
        (json!({"customer": []}), "customer must be an object, not an array"),
        (customer("", "a"), "customer.name must not be blank"),
        (
            customer(&"é".repeat(256), "a"),
            "customer.name must have at most 255 characters, not 256",
        ),
        (customer("a\u{0}b", "a"), "customer.name must not contain control characters"),
        (customer("a", "\u{3000}"), "customer.address must not be blank"),
        (
            customer("a", &"é".repeat(1_001)),
            "customer.address must have at most 1000 characters, not 1001",
        ),
        (customer("a", "b\nc"), "customer.address must not contain control characters"),
        (
            json!({"customer": {"name": 7, "address": "a"}}),
            "customer.name must be a string, not a number",
        ),
        (
            json!({"customer": {"name": "a", "address": null}}),
            "customer.address must be a string, not null",
        ),
    ] {
        assert_eq!(faults(api.post(&body).await?).await?, [expected], "{body}");
    }
    let sql = connect(&database.url).await?;
    assert!(sql.query("SELECT FROM customers", &[]).await?.is_empty());
    let longest = customer(&"é".repeat(255), &"字".repeat(1_000));
    assert_eq!(api.post(&longest).await?.status(), 201);
    Ok(())
}

#[tokio::test]
async fn what_is_no_request_is_a_problem() -> Tested {
    let (_database, api) = fresh().await?;
    let send = async |content_type: &str, body: Vec<u8>| {
        let post = api.http.post(format!("{}/api/customers", api.url));
        anyhow::Ok(post.header("content-type", content_type).body(body).send().await?)
    };
    for body in ["", "{", "customer=1", "{\"customer\":{}} {}"] {
        problem(send("application/json", body.into()).await?, 400).await?;
    }
    let good = customer("Juan", "Bogotá").to_string();
    problem(send("text/plain", good.clone().into()).await?, 415).await?;
    problem(send("application/json", vec![b' '; 64 * 1024 + 1]).await?, 413).await?;
    let answer = chunked(&api.url, 100).await?;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(send("application/json; charset=utf-8", good.into()).await?.status(), 201);
    Ok(())
}

/// The response to a body of this many chunks of 1 KiB.
async fn chunked(url: &str, chunks: usize) -> anyhow::Result<String> {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "POST /api/customers HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunk = format!("400\r\n{}\r\n", " ".repeat(1024));
    let request = format!("{head}{}0\r\n\r\n", chunk.repeat(chunks));
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn pages_lead_through_all_customers_each_once() -> Tested {
    let (database, api) = fresh().await?;
    let sql = connect(&database.url).await?;
    sql.batch_execute(
        "INSERT INTO customers (id, name, address)
         SELECT gen_random_uuid(), 'customer ' || number, 'Bogotá' FROM generate_series(1, 120) AS number",
    )
    .await?;
    let count = async |path: &str| {
        let answer = api.get(path).await?.error_for_status()?;
        anyhow::Ok(answer.json::<Vec<Value>>().await?.len())
    };
    assert_eq!(count("/api/customers").await?, 50);
    assert_eq!(count("/api/customers?limit=500").await?, 120);

    let mut seen = Vec::new();
    let mut path = Some("/api/customers?limit=7".to_owned());
    let mut pages = 0;
    while let Some(page) = path {
        let answer = api.get(&page).await?.error_for_status()?;
        path = next(&answer)?;
        let customers: Vec<Value> = answer.json().await?;
        assert!(customers.len() == 7 || path.is_none());
        seen.extend(customers.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)));
        pages += 1;
        // A customer created in between does not make another one appear twice.
        api.create("in between").await?;
        assert!(pages < 100, "the pages never end");
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), seen.len(), "a customer was seen twice");
    let all = sql.query("SELECT id::text FROM customers WHERE name LIKE 'customer %'", &[]).await?;
    for row in all {
        let id: String = row.get(0);
        assert!(unique.contains(&id), "{id} was not seen");
    }

    // A full last page has no next link.
    let (_other, api) = fresh().await?;
    assert_eq!(api.get("/api/customers").await?.text().await?, "[]");
    for _ in 0..2 {
        api.create("Juan").await?;
    }
    assert_eq!(next(&api.get("/api/customers?limit=2").await?)?, None);
    assert!(next(&api.get("/api/customers?limit=1").await?)?.is_some());
    Ok(())
}

#[tokio::test]
async fn wrong_parameters_of_a_page_are_told_at_once() -> Tested {
    let (_database, api) = fresh().await?;
    assert_eq!(
        faults(api.get("/api/customers?limit=501&cursor=abc&name=Juan").await?).await?,
        [
            "limit must be an integer from 1 to 500",
            "cursor must be one that a Link header gave",
            "the query parameter name is unknown",
        ]
    );
    for limit in ["0", "-1", "many", ""] {
        faults(api.get(&format!("/api/customers?limit={limit}")).await?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_customers_of_development_are_loaded_once_and_never_overwritten() -> Tested {
    let database = stack::shared().await?.database("customers").await?;
    let sql = connect(&database.url).await?;
    let api = CustomerApi::start(&database.url, &["--seed-customers", "true"]).await?;
    let expected = json!([
        {"id": "11111111-1111-1111-1111-111111111111", "name": "Juan Perez",
         "address": "Cra 7 #12-34, Bogotá", "orders_count": 0},
        {"id": "22222222-2222-2222-2222-222222222222", "name": "Maria Gomez",
         "address": "Calle 123 #45-67, Medellín", "orders_count": 0},
        {"id": "33333333-3333-3333-3333-333333333333", "name": "Carlos Ruiz",
         "address": "Av 10 #20-30, Cali", "orders_count": 0},
    ]);
    assert_eq!(api.get("/api/customers").await?.json::<Value>().await?, expected);
    api.stop().await?;

    sql.batch_execute("UPDATE customers SET orders_count = 5, address = 'moved'").await?;
    let api = CustomerApi::start(&database.url, &["--seed-customers", "true"]).await?;
    let customers: Vec<Value> = api.get("/api/customers").await?.json().await?;
    assert_eq!(customers.len(), 3);
    for customer in customers {
        assert_eq!((&customer["orders_count"], &customer["address"]), (&json!(5), &json!("moved")));
    }
    api.stop().await?;

    let (_database, api) = fresh().await?;
    assert_eq!(api.get("/api/customers").await?.text().await?, "[]", "only when told so");
    Ok(())
}

#[tokio::test]
async fn its_documents_and_its_swagger_ui_are_served() -> Tested {
    let (_database, api) = fresh().await?;
    let docs = api.get("/docs").await?;
    assert_eq!(docs.status(), 200);
    assert!(docs.text().await?.contains("swagger"));
    let json: Value = api.get("/openapi.json").await?.json().await?;
    assert_eq!(json["info"]["title"], "Customers API");
    assert_eq!(json["servers"][0]["url"], "/");
    let yaml = api.get("/openapi.yaml").await?.text().await?;
    for path in ["/api/customers", "/api/customers/{id}", "/up"] {
        assert!(json["paths"].get(path).is_some(), "{path}");
        assert!(yaml.contains(&format!("  {path}:\n")), "{path}");
    }
    for (path, method, tag, summary) in [
        ("/api/customers", "get", "customers", "List customers"),
        ("/api/customers", "post", "customers", "Create a customer"),
        ("/api/customers/{id}", "get", "customers", "Get a customer"),
        ("/up", "get", "health", "Check that the process is alive"),
    ] {
        let operation = &json["paths"][path][method];
        assert_eq!(operation["tags"], json!([tag]), "{method} {path}");
        assert_eq!(operation["summary"], summary);
        for (status, answer) in operation["responses"].as_object().context("answers")? {
            let problem = &answer["content"]["application/problem+json"];
            assert!(problem.is_null() || problem["example"].is_object(), "{path} {status}");
        }
    }
    let schemas = &json["components"]["schemas"];
    for schema in ["Customer", "CreateCustomer"] {
        assert!(schemas[schema]["example"].is_object(), "{schema}");
    }
    for schema in ["CreateCustomer", "NewCustomer"] {
        assert_eq!(schemas[schema]["additionalProperties"], false, "{schema}");
    }
    let kept = stack::root().join("openapi/customer-service.yaml");
    let kept = std::fs::read_to_string(kept)?;
    assert!(kept == yaml, "openapi/customer-service.yaml is stale: run cargo xtask openapi");
    Ok(())
}
