//! Creating orders: what is stored, returned and rejected.

use pipeline_tests::order_api::{CUSTOMER, OrderApi, accepted, count, faults, order, problem};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

#[tokio::test]
async fn an_accepted_order_is_told_in_full_and_can_be_found_where_it_says() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let answer = api.post(&order()).send().await?;
    assert_eq!(answer.status(), 201);
    assert!(answer.headers().get("idempotency-replayed").is_none());
    let location = answer.headers()["location"].to_str()?.to_owned();
    let told: Value = answer.json().await?;

    let id: Uuid = told["id"].as_str().expect("an id").parse()?;
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(location, format!("/api/orders/{id}"));
    let created_at = told["created_at"].as_str().expect("a time");
    let since = OffsetDateTime::now_utc() - OffsetDateTime::parse(created_at, &Rfc3339)?;
    assert!(created_at.ends_with('Z') && since.abs() < time::Duration::minutes(1), "{created_at}");
    let mut rest = order()["order"].clone();
    rest["id"] = json!(id);
    rest["status"] = json!("created");
    rest["created_at"] = json!(created_at);
    rest["updated_at"] = json!(created_at);
    assert_eq!(told, rest);

    let found: Value = api.get(&location).await?.json().await?;
    assert_eq!(found, told);
    Ok(())
}

#[tokio::test]
async fn the_event_of_an_order_tells_it_and_carries_its_trace() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let post = api.post(&order()).header("traceparent", parent).header("tracestate", "a=1");
    let told = accepted(post.send().await?).await?;
    let untraced = api.post(&order()).header("traceparent", "00-what-ever-01");
    accepted(untraced.send().await?).await?;

    let rows = api.sql().await?.query("SELECT * FROM outbox ORDER BY id", &[]).await?;
    assert_eq!(rows.len(), 2);
    let event = &rows[0];
    assert_eq!(event.get::<_, &str>("aggregate_type"), "order");
    assert_eq!(event.get::<_, &str>("aggregate_id"), told["id"]);
    assert_eq!(event.get::<_, &str>("event_type"), "order.created");
    assert_eq!(event.get::<_, Uuid>("event_id").get_version_num(), 7);
    assert_eq!(
        event.get::<_, Value>("payload"),
        json!({
            "order_public_id": told["id"], "customer_public_id": CUSTOMER, "product_name": "Laptop",
            "quantity": 2, "price": "1200.00", "status": "created",
        })
    );
    let headers = json!({"traceparent": parent, "tracestate": "a=1"});
    assert_eq!(event.get::<_, Value>("headers"), headers);
    assert_eq!(rows[1].get::<_, Value>("headers"), json!({}));
    Ok(())
}

#[tokio::test]
async fn an_order_and_its_event_are_kept_together_or_not_at_all() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let sql = api.sql().await?;
    sql.batch_execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'INSERT refused'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse();",
    )
    .await?;
    problem(api.post(&order()).send().await?, 500).await?;
    problem(api.post(&order()).header("Idempotency-Key", "k").send().await?, 500).await?;
    for table in ["orders", "outbox", "idempotency_keys"] {
        assert_eq!(count(&sql, table).await?, 0, "{table}");
    }

    sql.batch_execute("DROP TRIGGER refuse ON outbox").await?;
    accepted(api.post(&order()).header("Idempotency-Key", "k").send().await?).await?;
    for table in ["orders", "outbox", "idempotency_keys"] {
        assert_eq!(count(&sql, table).await?, 1, "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn all_that_is_wrong_with_an_order_is_told_at_once() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let body = json!({
        "order": {
            "customer_public_id": "7", "product_name": " ", "quantity": 0, "price": "12.345",
            "status": "shipped",
        },
        "dry_run": true,
    });
    assert_eq!(
        faults(api.post(&body).send().await?).await?,
        [
            "order.customer_public_id must be a UUID",
            "order.product_name must not be blank",
            "order.quantity must be an integer from 1 to 1000000",
            "order.price must be a number from 0 to 99999999.99 with at most two decimals",
            "order.delivery_address is missing",
            "order.status is unknown",
            "dry_run is unknown",
        ]
    );
    assert_eq!(count(&api.sql().await?, "orders").await?, 0);
    Ok(())
}

#[tokio::test]
async fn each_rule_of_an_order_holds_up_to_its_bound_and_not_beyond() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let good = [
        ("product_name", json!("é".repeat(255))),
        ("delivery_address", json!("字".repeat(1000))),
        ("quantity", json!(1)),
        ("quantity", json!(1_000_000)),
        ("quantity", json!(5.0)),
        ("price", json!(0)),
        ("price", json!("99999999.99")),
        ("customer_public_id", json!("ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB")),
    ];
    for (member, value) in good {
        let mut body = order();
        body["order"][member] = value.clone();
        let answer = api.post(&body).send().await?;
        assert_eq!(answer.status(), 201, "{member} {value}");
    }
    let bad = [
        ("product_name", json!("é".repeat(256)), "must have at most 255 characters, not 256"),
        ("product_name", json!(""), "must not be blank"),
        ("product_name", json!("a\u{0}b"), "must not contain control characters"),
        ("product_name", json!("a\u{7f}"), "must not contain control characters"),
        ("product_name", json!(null), "must be a string, not null"),
        (
            "delivery_address",
            json!("x".repeat(1001)),
            "must have at most 1000 characters, not 1001",
        ),
        ("delivery_address", json!("a\nb"), "must not contain control characters"),
        ("delivery_address", json!(["a"]), "must be a string, not an array"),
        ("quantity", json!(0), "must be an integer from 1 to 1000000"),
        ("quantity", json!(1_000_001), "must be an integer from 1 to 1000000"),
        ("quantity", json!(1.5), "must be an integer from 1 to 1000000"),
        ("quantity", json!("1"), "must be an integer from 1 to 1000000, not a string"),
        ("customer_public_id", json!(7), "must be a UUID, not a number"),
        ("customer_public_id", json!("11111111111111111111111111111111"), "must be a UUID"),
    ];
    for (member, value, fault) in bad {
        let mut body = order();
        body["order"][member] = value;
        let told = faults(api.post(&body).send().await?).await?;
        assert_eq!(told, [format!("order.{member} {fault}")]);
    }
    Ok(())
}

#[tokio::test]
async fn a_price_is_exact_however_it_is_written() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let post = async |price: &str| {
        let body = order().to_string().replace("\"1200.00\"", price);
        let url = format!("{}/api/orders", api.url);
        api.http.post(url).header("content-type", "application/json").body(body).send().await
    };
    for (written, told) in [
        ("0.1", "0.10"),
        ("\"0.1\"", "0.10"),
        ("1e2", "100.00"),
        ("1200", "1200.00"),
        ("1200.000", "1200.00"),
        ("99999999.99", "99999999.99"),
        ("-0.0", "0.00"),
    ] {
        let order = accepted(post(written).await?).await?;
        assert_eq!(order["price"], told, "{written}");
        let stored: Value = api
            .get(&format!("/api/orders/{}", order["id"].as_str().unwrap()))
            .await?
            .json()
            .await?;
        assert_eq!(stored["price"], told, "{written}");
    }
    for wrong in
        ["99999999.990000001", "100000000", "-0.01", "0.001", "1e9", "\"1,5\"", "\"\"", "true"]
    {
        let told = faults(post(wrong).await?).await?;
        assert!(told[0].starts_with("order.price must be"), "{wrong}: {told:?}");
    }
    Ok(())
}
