//! The OpenAPI documents: served, complete, and identical to those in the repository.

use std::collections::BTreeSet;

use order_service::api::openapi_document;
use pipeline_tests::order_api::OrderApi;
use serde_json::{Value, json};
use service_kit::http::documents::Format;

#[tokio::test]
async fn the_documents_are_served() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let up = api.get("/up").await?;
    assert_eq!(up.status(), 200);

    let page = api.get("/docs").await?;
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-type"].to_str()?.starts_with("text/html"));
    let page = page.text().await?;
    assert!(page.contains("SwaggerUIBundle") && page.contains("/api/orders/{id}"));
    assert!(page.contains(&openapi_document(Format::Json)));
    // The browser must not load anything from another host.
    assert!(!page.contains("<script src") && !page.contains("<link"));

    let text = api.get("/openapi.json").await?;
    assert_eq!(text.headers()["content-type"], "application/json");
    assert_eq!(text.text().await?, openapi_document(Format::Json));
    let text = api.get("/openapi.yaml").await?;
    assert_eq!(text.headers()["content-type"], "application/yaml");
    assert_eq!(text.text().await?, openapi_document(Format::Yaml));
    Ok(())
}

#[test]
fn the_document_in_the_repository_is_the_one_of_the_code() -> anyhow::Result<()> {
    let kept = std::fs::read_to_string(stack::root().join("openapi/order-service.yaml"))?;
    assert!(
        kept == openapi_document(Format::Yaml),
        "openapi/order-service.yaml is stale: run cargo xtask openapi"
    );
    Ok(())
}

#[test]
fn every_call_and_every_answer_is_documented() -> anyhow::Result<()> {
    let document: Value = serde_json::from_str(&openapi_document(Format::Json))?;
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, call) in methods.as_object().expect("methods") {
            let codes: BTreeSet<&str> = call["responses"]
                .as_object()
                .expect("answers")
                .keys()
                .map(String::as_str)
                .collect();
            let codes = codes.into_iter().collect::<Vec<_>>().join(" ");
            let id = call["operationId"].as_str().expect("an id");
            calls.push(format!("{method} {path} {id}: {codes}"));
            assert!(call["summary"].is_string(), "{id}");
            assert_eq!(call["tags"].as_array().map(Vec::len), Some(1), "{id}");
            for (status, answer) in call["responses"].as_object().expect("answers") {
                let problem = &answer["content"]["application/problem+json"];
                assert!(problem.is_null() || problem["example"].is_object(), "{id} {status}");
            }
        }
    }
    calls.sort();
    assert_eq!(
        calls,
        [
            "get /api/orders listOrders: 200 400 422 500 503",
            "get /api/orders/{id} getOrder: 200 400 404 422 500 503",
            "get /up up: 200",
            "patch /api/orders/{id} changeOrderStatus: 200 400 404 408 409 413 415 422 500 503",
            "post /api/orders createOrder: 201 400 408 409 413 415 422 500 503",
        ]
    );
    let create = &document["paths"]["/api/orders"]["post"];
    assert_eq!(create["parameters"][0]["name"], "Idempotency-Key");
    assert!(create["responses"]["503"]["headers"]["Retry-After"].is_object());
    assert!(create["responses"]["201"]["headers"]["LOCATION"].is_object());
    let list = &document["paths"]["/api/orders"]["get"];
    assert!(list["responses"]["200"]["headers"]["LINK"].is_object());
    let limit = &list["parameters"][0]["schema"];
    assert_eq!(limit, &json!({"type": "integer", "default": 50, "minimum": 1.0, "maximum": 500.0}));
    let cursor = &list["parameters"][1]["schema"];
    assert_eq!(cursor, &json!({"type": "string", "pattern": "^[0-9A-Fa-f]{32}$"}));
    let new = &document["components"]["schemas"]["NewOrder"]["properties"];
    assert_eq!(new["price"]["oneOf"][1]["multipleOf"], 0.01);
    for line in ["product_name", "delivery_address"] {
        assert!(new[line]["pattern"].is_string(), "no control characters in {line}");
    }
    for schema in ["Order", "CreateOrder", "ChangeOrder"] {
        assert!(document["components"]["schemas"][schema]["example"].is_object(), "{schema}");
    }
    for schema in ["CreateOrder", "NewOrder", "ChangeOrder", "NewOrderStatus"] {
        let additional = &document["components"]["schemas"][schema]["additionalProperties"];
        assert_eq!(additional, &json!(false), "{schema}");
    }
    assert_eq!(document["servers"][0]["url"], "/");
    Ok(())
}
