//! `Idempotency-Key`: a request that is sent again makes no second order.

use futures_util::future::join_all;
use order_service::idempotency::{Pruned, prune_batch};
use pipeline_tests::customer_stub::{Behaviour, CustomerStub};
use pipeline_tests::order_api::{OrderApi, accepted, count, faults, order};
use reqwest::Response;
use serde_json::{Value, json};
use service_kit::postgres::Database;
use service_kit::postgres::{Pool, PoolArgs, PreparedStatements};
use std::time::Duration;

const KEY: &str = "Idempotency-Key";

fn is_replay(answer: &Response) -> bool {
    answer.headers().get("idempotency-replayed").is_some_and(|value| value == "true")
}

/// A service that lets many concurrent requests wait for its few connections instead of rejecting
/// them.
async fn patient() -> anyhow::Result<OrderApi> {
    OrderApi::start_with(&["--customer-check", "off", "--database-pool-wait", "30s"]).await
}

#[tokio::test]
async fn fifty_requests_at_once_with_one_key_make_one_order_and_one_event() -> anyhow::Result<()> {
    let api = patient().await?;
    let sql = api.sql().await?;
    for round in 1..=3 {
        let key = format!("round-{round}");
        let posts = (0..50).map(|_| api.post(&order()).header(KEY, &key).send());
        let (mut replays, mut bodies) = (0, Vec::new());
        for answer in join_all(posts).await {
            let answer = answer?;
            replays += usize::from(is_replay(&answer));
            let location = answer.headers()["location"].to_str()?.to_owned();
            bodies.push((location, accepted(answer).await?));
        }
        assert_eq!(replays, 49);
        assert!(bodies.iter().all(|body| *body == bodies[0]));
        for table in ["orders", "outbox", "idempotency_keys"] {
            assert_eq!(count(&sql, table).await?, round, "{table}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_first_answer_is_given_again_whatever_became_of_the_order() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let first = accepted(api.post(&order()).header(KEY, "k").send().await?).await?;
    let id = first["id"].as_str().expect("an id");
    api.patch(id, "processing").await?.error_for_status()?;
    api.patch(id, "shipped").await?.error_for_status()?;

    let again = api.post(&order()).header(KEY, "k").send().await?;
    assert!(is_replay(&again));
    assert_eq!(accepted(again).await?, first);
    assert_eq!(count(&api.sql().await?, "outbox").await?, 3);
    Ok(())
}

#[tokio::test]
async fn bodies_are_the_same_when_they_mean_the_same() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    let first = accepted(api.post(&order()).header(KEY, "k").send().await?).await?;
    let written_otherwise = r#" {"order": {"price": 1.2e3, "quantity": 2.0, "product_name": "\u004captop",
        "delivery_address": "Cra 7 #12-34, Bogotá", "customer_public_id": "11111111-1111-1111-1111-111111111111"}}"#;
    let post = api.http.post(format!("{}/api/orders", api.url)).header(KEY, "k");
    let answer = post.header("content-type", "application/json").body(written_otherwise);
    assert_eq!(accepted(answer.send().await?).await?, first);

    for (member, value) in [
        ("price", json!("1200.01")),
        ("quantity", json!(3)),
        ("product_name", json!("laptop")),
        ("delivery_address", json!("Cra 7 #12-34, Bogota")),
        ("customer_public_id", json!("22222222-2222-2222-2222-222222222222")),
    ] {
        let mut other = order();
        other["order"][member] = value;
        let told = faults(api.post(&other).header(KEY, "k").send().await?).await?;
        assert_eq!(told, ["Idempotency-Key was used before with another body"], "{member}");
    }
    assert_eq!(count(&api.sql().await?, "orders").await?, 1);
    Ok(())
}

#[tokio::test]
async fn what_was_refused_is_not_remembered() -> anyhow::Result<()> {
    let stub = CustomerStub::start(Behaviour::KnowsNobody).await?;
    let settings = ["--customer-service-url", &stub.url, "--customer-cache-ttl", "0s"];
    let api = OrderApi::start_with(&settings).await?;
    let mut wrong = order();
    wrong["order"]["quantity"] = json!(0);
    faults(api.post(&wrong).header(KEY, "k").send().await?).await?;
    faults(api.post(&order()).header(KEY, "k").send().await?).await?;
    assert_eq!(count(&api.sql().await?, "idempotency_keys").await?, 0);

    stub.behave(Behaviour::Healthy);
    let answer = api.post(&order()).header(KEY, "k").send().await?;
    assert!(!is_replay(&answer));
    accepted(answer).await?;
    Ok(())
}

#[tokio::test]
async fn a_key_is_looked_up_before_the_customer_is_checked() -> anyhow::Result<()> {
    let stub = CustomerStub::start(Behaviour::Healthy).await?;
    let settings = ["--customer-service-url", &stub.url, "--customer-cache-ttl", "1ms"];
    let api = OrderApi::start_with(&settings).await?;
    let first = accepted(api.post(&order()).header(KEY, "k").send().await?).await?;
    let asked = stub.questions();
    stub.behave(Behaviour::KnowsNobody);
    assert_eq!(accepted(api.post(&order()).header(KEY, "k").send().await?).await?, first);
    assert_eq!(stub.questions(), asked);
    Ok(())
}

#[tokio::test]
async fn a_key_serves_again_after_a_day_and_old_ones_are_forgotten() -> anyhow::Result<()> {
    let api = patient().await?;
    let sql = api.sql().await?;
    let first = accepted(api.post(&order()).header(KEY, "k").send().await?).await?;
    let age = "UPDATE idempotency_keys SET created_at = now() - $1::text::interval";
    sql.execute(age, &[&"23 hours 59 minutes"]).await?;
    assert!(is_replay(&api.post(&order()).header(KEY, "k").send().await?));
    sql.execute(age, &[&"24 hours 1 minute"]).await?;
    let posts = (0..10).map(|_| api.post(&order()).header(KEY, "k").send());
    let mut seconds = Vec::new();
    for answer in join_all(posts).await {
        seconds.push(accepted(answer?).await?);
    }
    assert_ne!(seconds[0]["id"], first["id"]);
    assert!(seconds.iter().all(|second| *second == seconds[0]));
    assert_eq!(count(&sql, "orders").await?, 2);

    sql.batch_execute(
        "INSERT INTO idempotency_keys SELECT 'old-' || n, gen_random_uuid(), now() - interval '25 hours' \
         FROM generate_series(1, 1500) AS n",
    )
    .await?;
    let url: String = sql.query_one("SELECT current_database()", &[]).await?.get(0);
    let url = stack::shared().await?.postgres.url(&url).parse().map_err(anyhow::Error::msg)?;
    let args = PoolArgs {
        database_pool_size: 1,
        database_pool_wait: Duration::from_secs(5),
        database_statement_timeout: Duration::from_secs(5),
        database_prepared_statements: PreparedStatements::Auto,
    };
    let database = Database::new(Pool::new(&url, &args, "test")?, Duration::from_secs(5));
    assert_eq!(prune_batch(&database).await?, Pruned::MayHaveMore(1000));
    assert_eq!(prune_batch(&database).await?, Pruned::Complete(500));
    let left: Vec<Value> = vec![
        sql.query_one("SELECT to_jsonb(array_agg(key)) FROM idempotency_keys", &[]).await?.get(0),
    ];
    assert_eq!(left, [json!(["k"])]);
    Ok(())
}

#[tokio::test]
async fn what_is_no_key_is_refused() -> anyhow::Result<()> {
    let api = OrderApi::start().await?;
    for wrong in ["", "a b", &"x".repeat(256), "é"] {
        let told = faults(api.post(&order()).header(KEY, wrong).send().await?).await?;
        assert_eq!(told, ["Idempotency-Key must consist of 1 to 255 visible ASCII characters"]);
    }
    let twice = api.post(&order()).header(KEY, "a").header(KEY, "a").send().await?;
    assert_eq!(faults(twice).await?, ["Idempotency-Key is given more than once"]);
    accepted(api.post(&order()).header(KEY, "~".repeat(255)).send().await?).await?;
    Ok(())
}
